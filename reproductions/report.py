"""One page with every figure: what was claimed, what was measured, whether it holds.

Reads the run directories below --out_dir and writes one HTML file that needs nothing else: no network,
no scripts, the pictures inside. Of each figure and data set it shows one finished run: of the preset's
own settings before any other, of several the newest. It says which it left out, and what is missing.

    python -m reproductions.report                             runs of --preset=paper in runs/
    python -m reproductions.report --preset=quick --out_dir=elsewhere
    python -m reproductions.report --output=page.html
"""

import base64
import dataclasses
import datetime
import itertools
import json
import math
import pathlib
import re
import shlex
import textwrap

import jinja2
import markdown_it
import markupsafe

from reproductions.bench import catalogue, claims, flags, options, runs, store
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
}


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run, as the page shows it.

    Attributes:
      folder: below out_dir, e.g. fig6_swa/paper-cifar10-0a947007.
      made: what newer runs have more of.
      settings: [(name, value, the preset's own value, or None where it is that)].
      picture: {src, width, height}.
      page: the path below out_dir of the figure to turn by hand, or None.
    """

    figure: str
    folder: str
    made: tuple
    dataset: str | None
    settings: list
    claims: list
    picture: dict
    provenance: dict
    page: str | None

    @property
    def held(self):
        return sum(claim["passed"] for claim in self.claims)

    @property
    def passed(self):
        return bool(self.claims) and self.held == len(self.claims)

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
    page = folder / "figure.html"
    return Run(
        figure,
        str(folder.relative_to(out_dir)),
        (provenance["date"], saved.stat().st_mtime),
        runs.data_name(config.get("dataset")),
        _settings(figure, folder.name.split("-")[0], config),
        [_claim(c) for c in archive.read_json(check, {"claims": [_CLAIM]})["claims"]],
        _picture(folder / "figure.png"),
        {**provenance, "note": provenance.get("note") or ""},
        str(page.relative_to(out_dir)) if page.exists() else None,
    )


def _settings(figure, preset, config):
    own = json.loads(store.canonical(options.preset(catalogue.module(figure).Config, preset)))
    rows = []
    for name, value in config.items():
        usual = own.get(name)
        # Which seeds, and how many, is no other experiment: references are compared across them.
        differs = value != usual and name not in options.REPEATS
        rows.append((name, _show(value), _show(usual) if differs else None))
    return rows


def _claim(claim):
    measured = math.nan if claim["measured"] is None else claim["measured"]
    sign = _SIGNS.get(claim["relation"], claim["relation"])
    return {
        **{k: claim[k] for k in ("id", "statement", "source", "passed")},
        "measured": _number(measured),
        "expected": f"{sign} {_number(claim['expected'])}",
    }


def _picture(path):
    data = path.read_bytes()
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR" or b"IEND" not in data[-12:]:
        raise archive.Damaged(path, "is not a whole PNG file")
    width, height = (int.from_bytes(data[i : i + 4], "big") for i in (16, 20))
    src = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return {"src": src, "width": width, "height": height}


# ---- words ------------------------------------------------------------------------------------------


def duration(seconds):
    """Seconds in words: 18 s, 2.5 min, 1.2 h."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def verdict(held, claims):
    """How many claims hold, in words: "3 of 8 claims hold"."""
    return f"{held} of {claims} claim{'s' * (claims != 1)} hold" if claims else "no claim is made"


def _number(value):
    value = float(value)
    if math.isnan(value):
        return "not a number"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def _show(value):
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _command(figure, found):
    """What measures the figure."""
    out = [] if str(found.out_dir) == "runs" else [f"--out_dir={found.out_dir}"]
    return shlex.join(["python", "-m", f"reproductions.{figure}", f"--preset={found.preset}", *out])


def _nothing(found):
    what = f"--out_dir={found.out_dir}: no finished run of --preset={found.preset} there"
    if found.others:
        other = sorted(found.others, key=options.PRESETS.index)
        return f"{what}, only of {', '.join(other)}; --preset={other[0]} shows those."
    command = f"python -m reproductions.run_all --preset={found.preset} --out_dir={found.out_dir}"
    return f"{what}; {command} makes them."


def _story(figure):
    """A figure's docstring without its title and its commands: [("text" or "source", text)] and
    ("list", [(first word, the rest)]) for indented lines."""
    lines = catalogue.module(figure).__doc__.strip().splitlines()[1:]
    told = []
    for kind, block in itertools.groupby(lines, _kind):
        block = list(block)
        if kind == "list" and "python -m" not in block[0]:
            told.append((kind, _items(block)))
        elif kind in ("text", "source"):
            told.append((kind, " ".join(block)))
    return told


def _findings(figure):
    """What was found in the reference run, as HTML; None where nobody has written it down."""
    path = claims.REFERENCE / f"{figure}.md"
    if not path.exists():
        return None
    # No HTML of its own passes through; headings stand below the figure's.
    markdown = markdown_it.MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(path.read_text(encoding="utf-8"))
    for token in tokens:
        if token.type.startswith("heading"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
    return markupsafe.Markup(markdown.renderer.render(tokens, markdown.options, {}))


def _prose(text):
    """Text with its `code` and *stress* as HTML."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(markupsafe.escape(text)))
    return markupsafe.Markup(re.sub(r"\*(\w+)\*", r"<em>\1</em>", text))


def _kind(line):
    if not line.strip():
        return "empty"
    return "list" if line.startswith(" ") else "source" if line.startswith("Source:") else "text"


def _items(lines):
    """Indented lines as [(first word, the rest)]; a line that is indented further goes on."""
    items = []
    for line in textwrap.dedent("\n".join(lines)).splitlines():
        if line.startswith(" "):
            items[-1] += line
        else:
            items.append(line)
    return [(item.split()[0], " ".join(item.split()[1:])) for item in items]


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
    environment.filters |= {"duration": duration, "title": catalogue.title}
    environment.filters |= {"story": _story, "prose": _prose, "findings": _findings}
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    page = template.render(
        found=found,
        rows=_rows(found, failed or {}),
        verdict=verdict,
        today=datetime.date.today().isoformat(),
        provenance={k: _together(found.shown, k) for k in ("date", "machine", "software", "note")},
        held=sum(r.held for r in found.shown),
        claims=sum(len(r.claims) for r in found.shown),
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
            state = "passed" if r.passed else "part" if r.held else "failed" if r.claims else "silent"
            rows.append({**base, "run": r, "state": state, "several": several})
        if figure in failed:
            rows.append({**base, "state": "stopped", "why": failed[figure]})
        elif not shown and figure in damaged:
            rows.append({**base, "state": "damaged", "why": damaged[figure]})
        elif not shown:
            why = f"begun in {unfinished[figure]}" if figure in unfinished else ""
            rows.append({**base, "state": "unfinished" if why else "missing", "why": why})
    return rows


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
