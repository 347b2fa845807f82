"""The science that figures share: data sets, networks and their training, optima, toys, pictures."""
