"""Where a test's runs keep their work."""

import pathlib

from reproductions.bench import devices, workplace


def at(folder):
    """The workplace of a run that keeps its work in a folder."""
    return workplace.at(devices.start(workplace.Workplace(pathlib.Path(folder))))
