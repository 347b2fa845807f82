"""The pictures of a run as files: PNG always, since the report shows it, and what else is asked for."""

import io

import wedges
from reproductions.bench import catalogue, store
from reproductions.bench.errors import UsageError

FORMATS = ("png", "pdf", "svg")
STYLES = ("screen", "paper")


def formats(given):
    """The formats that --format names; UsageError for one that there is not."""
    wanted = [word.strip().lower() for word in given.split(",")]
    for word in wanted:
        if word not in FORMATS:
            raise UsageError(f"--format={given}: choose from {', '.join(FORMATS)}, several with commas.")
    return wanted


def style(name):
    """Figures that are made inside have the style of this name."""
    return wedges.plots.style(name)


def save(directory, drawn, wanted, dpi):
    """Write figures {name: figure} as <name>.png and so on, each whole or not at all: the files' names,
    PNG first.

    wanted: formats besides PNG. One that stands there already, since an earlier command asked for it, is
    drawn again: no file shows older results than those beside it. dpi: dots an inch of PNG files; None
    leaves it to the figure.
    """
    how = {} if dpi is None else {"dpi": dpi}
    made = []
    for kind in FORMATS:
        for name, figure in drawn.items():
            path = directory / f"{name}.{kind}"
            if kind == "png" or kind in wanted or path.exists():
                store.write_bytes(path, lambda f, k=kind, d=figure: d.savefig(f, format=k, **how))
                made.append(path.name)
    return made


def keep(page, drawn):
    """Write figures {name: figure} beside a reference's page: reference/<figure>.png what is drawn as
    "figure", reference/<figure>_<name>.png the others."""
    for name, figure in drawn.items():
        ending = "" if name == "figure" else f"_{name}"
        _save_small(figure, page.with_name(f"{page.stem}{ending}.png"))


def kept(page):
    """The pictures beside a reference's page: the figure's own first, then the others by name."""
    # taxonomy_phases.png is none of a figure called "taxonomy".
    others = [n for n in catalogue.FIGURES if n.startswith(f"{page.stem}_")]
    found = [page.with_suffix(".png"), *sorted(page.parent.glob(f"{page.stem}_*.png"))]
    return [p for p in found if p.exists() and not any(p.stem.startswith(n) for n in others)]


_LARGEST = 300_000  # bytes of a picture beside a page


def _save_small(figure, path):
    """Write a figure as a PNG of 256 colours, which looks the same and is a third as large; of fewer
    where that is still too large, as of a table of many numbers."""
    import PIL.Image

    whole = io.BytesIO()
    figure.savefig(whole, format="png")
    image = PIL.Image.open(whole).convert("RGB")
    for colors in (256, 64, 32):
        few = image.quantize(colors, method=PIL.Image.Quantize.MEDIANCUT, dither=PIL.Image.Dither.NONE)
        small = io.BytesIO()
        few.save(small, format="png", optimize=True)
        if len(small.getvalue()) <= _LARGEST:
            break
    store.write_bytes(path, lambda file: file.write(small.getvalue()))
