"""One page with every figure: what was claimed, what was measured, whether it holds.

Reads the run directories below --out_dir and writes one HTML file that needs nothing else: no network,
no scripts, the pictures inside. Its links to data, programs and papers are for whoever has them. Of each
figure and data set it shows one finished run: of the preset's own settings before any other, of several
the newest. It says which it left out, and what is missing.

    python -m reproductions.report                             runs of --preset=paper in runs/
    python -m reproductions.report --preset=quick --out_dir=elsewhere
    python -m reproductions.report --output=page.html
"""

import base64
import collections
import dataclasses
import datetime
import io
import json
import math
import pathlib
import shlex

import jinja2

from reproductions.bench import catalogue, claims, flags, options, runs, store, verdicts, wording
from reproductions.bench.errors import UsageError, say
from wedges import archive

_TEMPLATE = pathlib.Path(__file__).parent / "bench/page.html.jinja"
_SIGNS = {"<=": "≤", ">=": "≥"}
# What config.json and each claim of check.json must have.
_ABOUT = {
    "config": {"dataset?": (str, [str], None)},
    "provenance": {
        "command": str,
        "date": str,
        "machine": str,
        "software": {str: (str, int, [str])},
        "note?": (str, None),
        "seconds?": float,
        "time?": str,
        "commit?": (str, None),
    },
}
_CLAIM = {
    "id": str,
    "statement": str,
    "source": str,
    "measured": (float, None),
    "relation": str,
    "expected": float,
    "passed": bool,
    "says?": (str, None),
    "threshold?": str,
}
_COMPARED = {"numbers": int, "agree": int, "differs": [str]}
_CHECK = {"claims": [_CLAIM], "reference?": (_COMPARED, None)}
_THUMBNAIL = 480  # pixels across, for half of them on the page
_DATA = ("results.npz", "check.json", "config.json", "series/*.csv", "*.tex", "figure.*", "*.png")


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run, as the page shows it.

    Attributes:
      folder: below out_dir, e.g. fig6_swa/paper-cifar10-0a947007.
      made: what newer runs have more of.
      settings: [(name, value, the preset's own value, or None where it is that)].
      claims: as `verdicts.judged` has them, and with "shown", their numbers in words.
      judged: whether the preset is large enough for them.
      compared: how its numbers compare with the reference: {numbers, agree, differs}, or None.
      pictures: [{name, src, width, height}], the figure's own one first.
      thumbnail: the same of a small copy.
      files: those that it left, paths: data, verdict, pictures.
    """

    figure: str
    folder: str
    made: tuple
    dataset: str | None
    settings: list
    claims: list
    judged: bool
    compared: dict | None
    pictures: list
    thumbnail: dict
    provenance: dict
    files: list

    @property
    def held(self):
        return sum(claim["passed"] for claim in self.claims)

    @property
    def state(self):
        """Passed (all claims hold), part or failed (some, none), silent (no claims); or, in a
        preset too small for them, shown (all hold) or small."""
        if not self.claims:
            return "silent"
        if self.held == len(self.claims):
            return "passed" if self.judged else "shown"
        return "small" if not self.judged else "part" if self.held else "failed"

    @property
    def shares(self):
        """[(verdict, percent of the claims)], of those there are."""
        count = collections.Counter(claim["verdict"] for claim in self.claims)
        order = (verdicts.HOLDS, verdicts.FAILS, verdicts.UNMEASURED, verdicts.SMALL)
        return [(kind.split()[0], 100 * count[kind] / len(self.claims)) for kind in order if count[kind]]

    @property
    def changed(self):
        """What is not as in the preset, in words: "lr = 0.1". Which data set is no change."""
        other = [f"{n} = {v}" for n, v, own in self.settings if own is not None and n != "dataset"]
        return ", ".join(other)


@dataclasses.dataclass
class Found:
    """What there is of a preset below an out_dir."""

    out_dir: pathlib.Path
    preset: str
    shown: list = dataclasses.field(default_factory=list)
    left_out: list = dataclasses.field(default_factory=list)  # [(folder, why)]
    damaged: list = dataclasses.field(default_factory=list)  # [(figure, folder, why)]
    unfinished: list = dataclasses.field(default_factory=list)  # [(figure, folder)]
    others: set = dataclasses.field(default_factory=set)  # presets


def main(argv=None):
    """Write the page; ends the process with its exit status."""
    runs.program("report", run, argv, folders="--out_dir or --output")


def run(argv):
    """Write the page and print its path. Returns the exit status."""
    own = {
        "preset": "which runs to show",
        "out_dir": "folder with the run directories, as given to the figures",
        "output": "the page's file, e.g. page.html; by default report-<preset>.html in --out_dir",
    }
    values = flags.parse("report", f"{__doc__.strip()}\n\nFlags:", argv, (), own)
    if values.output and pathlib.Path(values.output).suffix.lower() not in ("", ".html", ".htm"):
        raise UsageError(
            f"--output={values.output}: the page is HTML; name a file that ends in .html, and print it "
            "from a browser for a PDF."
        )
    found = find(values.out_dir, values.preset)
    if not found.shown and not found.damaged:
        raise UsageError(_nothing(found))
    tell(found)
    print(write(found, values.output))
    return 0


def tell(found):
    """A line on the terminal for each run that cannot be read."""
    for _, folder, why in found.damaged:
        say(f"damaged: {found.out_dir / folder}: {why}; remove it and run the figure again.")


def find(out_dir, preset):
    """Read the run directories below `out_dir`: `Found`."""
    out_dir = pathlib.Path(out_dir).expanduser()
    found = Found(out_dir, preset)
    for figure in catalogue.FIGURES:
        finished = []
        for folder in sorted(f for f in (out_dir / figure).glob("*-*") if f.is_dir()):
            where = str(folder.relative_to(out_dir))
            if (name := folder.name.split("-")[0]) != preset:
                found.others |= {name} & set(options.PRESETS)
                continue
            try:
                one = _read(figure, folder, out_dir)
            except archive.Damaged as error:
                found.damaged.append((figure, where, f"{error.path.name} {error.why}"))
                continue
            except OSError as error:
                name = pathlib.Path(error.filename or "").name
                found.damaged.append((figure, where, f"{name} cannot be read ({error.strerror})"))
                continue
            if one is None:
                found.unfinished.append((figure, where))
            else:
                finished.append(one)
        _choose(found, figure, finished)
    return found


def _choose(found, figure, finished):
    """Show one run of each data set, the preset's own one first; leave out the others."""
    config = options.preset(catalogue.module(figure).Config, found.preset) if finished else {}
    own = runs.data_name(config.get("dataset"))
    for dataset in sorted({r.dataset for r in finished}, key=lambda d: (d != own, str(d))):
        same = [r for r in finished if r.dataset == dataset]
        best = max(same, key=lambda r: (not r.changed, r.made))
        found.shown.append(best)
        for other in same:
            if other is not best:
                why = f"other settings: {other.changed}" if other.changed else "an older run"
                found.left_out.append((other.folder, why))


def _read(figure, folder, out_dir):
    """The run in `folder`; None if it is not finished. Raises `archive.Damaged`, or OSError."""
    about = archive.read_json(folder / "config.json", _ABOUT)
    config, provenance = about["config"], about["provenance"]
    # A run says how long it took when its results are saved; its verdict comes last.
    saved, check = folder / "results.npz", folder / "check.json"
    if "seconds" not in provenance or not saved.exists() or not check.exists():
        return None
    store.verify(saved)
    module, preset = catalogue.module(figure), folder.name.split("-")[0]
    told = archive.read_json(check, _CHECK)
    recorded = claims.Reference(figure).verdicts(module.Config)
    found = sorted({f for pattern in _DATA for f in folder.glob(pattern)}, key=_place)
    pictures = [folder / "figure.png", *(f for f in found if f.suffix == ".png" and f.stem != "figure")]
    return Run(
        figure,
        str(folder.relative_to(out_dir)),
        (provenance["date"], saved.stat().st_mtime),
        runs.data_name(config.get("dataset")),
        _settings(figure, preset, config),
        [_claim(c) for c in verdicts.judged(told["claims"], module, preset, recorded)],
        verdicts.judges(module, preset),
        told.get("reference"),
        [_picture(path) for path in pictures],
        _thumbnail(pictures[0]),
        {"time": "", "commit": None, **provenance, "note": provenance.get("note") or ""},
        found,
    )


def _place(file):
    """Where a file stands in the list: pictures, data, the rest, by name."""
    order = (".png", ".pdf", ".svg", ".html", ".csv", ".npz", ".tex")
    return order.index(file.suffix) if file.suffix in order else len(order), file.name


def _settings(figure, preset, config):
    own = json.loads(store.canonical(options.preset(catalogue.module(figure).Config, preset)))
    rows = []
    for name, value in config.items():
        usual = own.get(name)
        # Which seeds, and how many, is no other experiment: references are compared across them.
        differs = value != usual and name not in options.REPEATS
        rows.append((name, wording.show(value), wording.show(usual) if differs else None))
    return rows


def _claim(claim):
    measured = math.nan if claim["measured"] is None else claim["measured"]
    sign = _SIGNS.get(claim["relation"], claim["relation"])
    shown = {
        "measured": wording.number(measured),
        "expected": f"{sign} {wording.number(claim['expected'])}",
    }
    return {**claim, "shown": shown}


def _picture(path):
    data = path.read_bytes()
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR" or b"IEND" not in data[-12:]:
        raise archive.Damaged(path, "is not a whole PNG file")
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    return {"name": path.stem, "src": _inside(data), "width": width, "height": height}


def _thumbnail(path):
    from PIL import Image  # takes a while, and not every command draws a page

    small = io.BytesIO()
    try:
        with Image.open(path) as image:
            image = image.convert("RGB")
            image.thumbnail((_THUMBNAIL, 2 * _THUMBNAIL), Image.Resampling.LANCZOS)
            image.save(small, "JPEG", quality=85)  # a third of a PNG, in a fifth of its time
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise archive.Damaged(path, "is not a whole PNG file") from None
    return {"src": _inside(small.getvalue(), "jpeg"), "width": image.width, "height": image.height}


def _inside(data, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


# ---- words ------------------------------------------------------------------------------------------


def _command(figure, found):
    """What measures the figure."""
    words = ["python", "-m", f"reproductions.{figure}", f"--preset={found.preset}"]
    return " ".join([shlex.join(words), *_out_dir(found)])


def _again(run, found):
    """The command that measured a run, with the folder that it lies in."""
    return " ".join([run.provenance["command"], *_out_dir(found)])


def _out_dir(found):
    return [] if str(found.out_dir) == "runs" else [shlex.quote(f"--out_dir={found.out_dir}")]


def _nothing(found):
    what = f"--out_dir={found.out_dir}: no finished run of --preset={found.preset} there"
    if found.others:
        other = sorted(found.others, key=options.PRESETS.index)
        return f"{what}, only of {', '.join(other)}; --preset={other[0]} shows those."
    command = f"python -m reproductions.run_all --preset={found.preset} --out_dir={found.out_dir}"
    return f"{what}; {command} makes them."


# ---- the page ---------------------------------------------------------------------------------------


def write(found, output=None, failed=None):
    """Write the page. Returns its path.

    Args:
      found: `Found`.
      output: its path; report-<preset>.html in out_dir where None.
      failed: {figure: why} of figures that were tried just now and did not finish.
    """
    path = pathlib.Path(output or found.out_dir / f"report-{found.preset}.html").expanduser()
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"duration": wording.duration, "title": catalogue.title}
    environment.filters |= {n: getattr(wording, n) for n in ("story", "prose", "findings", "linked")}
    environment.filters |= {"said": verdicts.said, "counted": verdicts.counted}
    environment.filters |= {"papers": lambda name: wording.papers(catalogue.module(name).__doc__)}
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    made = [claim for r in found.shown for claim in r.claims]
    page = template.render(
        found=found,
        rows=_rows(found, failed or {}),
        counted=verdicts.counted(made),
        words=verdicts.words,
        agreement=verdicts.agreement,
        large=found.preset == options.PRESETS[-1],
        compared=_compared(found.shown),
        seconds=sum(r.provenance["seconds"] for r in found.shown),
        again=lambda run: _again(run, found),
        href=lambda file: wording.href(file, path),
        program=lambda figure: wording.href(catalogue.module(figure).__file__, path),
        today=datetime.datetime.now().astimezone().strftime("%Y-%m-%d, %H:%M %Z"),
        provenance={
            k: _together(found.shown, k) for k in ("date", "commit", "machine", "software", "note")
        },
    )
    if path.is_dir():
        raise UsageError(f"--output={output}: is a folder; name a file, e.g. page.html.")
    store.write_bytes(path, lambda file: file.write(page.encode()))
    return path


def _rows(found, failed):
    """The summary's rows, at least one a figure: {figure, run, state, why, command}."""
    rows = []
    damaged = {figure: f"{folder}: {why}" for figure, folder, why in found.damaged}
    unfinished = dict(found.unfinished)
    for figure in catalogue.FIGURES:
        base = {"figure": figure, "run": None, "why": "", "command": _command(figure, found)}
        shown = [r for r in found.shown if r.figure == figure]
        several = len(shown) > 1
        for r in shown:
            rows.append({**base, "run": r, "state": r.state, "several": several})
        if figure in failed:
            rows.append({**base, "state": "stopped", "why": failed[figure]})
        elif not shown and figure in damaged:
            rows.append({**base, "state": "damaged", "why": damaged[figure]})
        elif not shown:
            why = f"begun in {unfinished[figure]}" if figure in unfinished else ""
            rows.append({**base, "state": "unfinished" if why else "missing", "why": why})
    return rows


def _compared(shown):
    """All runs that have a reference, taken together: {numbers, agree}; None where there is none."""
    known = [r.compared for r in shown if r.compared is not None]
    return {k: sum(c[k] for c in known) for k in ("numbers", "agree")} if known else None


def _together(shown, key):
    """The different values of a provenance's entry, in order: [(value, [figure])]."""
    kinds = {}
    for r in shown:
        value = r.provenance[key]
        if key == "software":
            value = ", ".join(f"{k} {v}" for k, v in value.items() if k != "code")
        if value:
            kinds.setdefault(value, []).append(r.figure)
    return list(kinds.items())


if __name__ == "__main__":
    main()
