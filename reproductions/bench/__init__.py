"""The machine that runs any figure: flags, runs, the store of results, claims, processes, devices.

It knows no network, no data set and no figure.
"""
