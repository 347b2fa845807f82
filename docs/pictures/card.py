"""The page of the guide's picture: what `wedges.card` says of the two networks of the README.

python docs/pictures/card.py FOLDER     writes models and page there, four minutes; card.png has parts
                                        of the page as a browser shows it
"""

import pathlib
import sys

import wedges

import two_networks  # isort: skip


def main(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    x, y = two_networks.examples()
    files = [folder / "a.keras", folder / "b.keras"]
    for seed, file in enumerate(files):
        two_networks.trained(seed, x, y).save(file)
    held_out = two_networks.examples("_test")
    print(wedges.card(files, (x, y), held_out=held_out, minutes=4, out_dir=folder).page)


if __name__ == "__main__":
    main(sys.argv[1])
