"""One page with every figure: what was claimed, what was measured, whether it holds.

Reads the run directories below --out_dir and writes one HTML file that needs nothing else: no network,
no scripts, the pictures inside. Of each figure and data set it shows one finished run: of the preset's
own settings before any other, of several the newest. It says which it left out, and what is missing.

    python -m reproductions.report                             runs of --preset=paper in runs/
    python -m reproductions.report --preset=quick --out_dir=/tmp/runs
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
import struct
import textwrap

import jinja2
import markupsafe

from reproductions.bench import catalogue, runs, store
from reproductions.bench.errors import UsageError, say

_TEMPLATE = pathlib.Path(__file__).parent / "bench/page.html.jinja"
_SIGNS = {"<=": "≤", ">=": "≥"}
# What a file holds that was cut short, or edited by hand, can raise while it is read.
_DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, struct.error)


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
    values = runs.parse("report", f"{__doc__.strip()}\n\nFlags:", argv, (), own)
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
                found.others |= {name} & set(runs.PRESETS)
                continue
            try:
                one = _read(figure, folder, out_dir)
            except _DAMAGED as error:
                found.damaged.append((figure, where, _why(error)))
                continue
            if one is None:
                found.unfinished.append((figure, where))
            else:
                finished.append(one)
        _choose(found, figure, finished)
    return found


def _choose(found, figure, finished):
    """Show one run of each data set, the preset's own one first; leave out the others."""
    config = catalogue.module(figure).PRESETS[found.preset] if finished else {}
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
    """The run in `folder`; None if it is not finished. Raises one of _DAMAGED."""
    about = _json(folder / "config.json")
    provenance = about["provenance"]
    # A run says how long it took when its results are saved; its verdict comes last.
    saved = folder / "results.npz"
    if "seconds" not in provenance or not saved.exists() or not (folder / "check.json").exists():
        return None
    check = _json(folder / "check.json")
    config = about["config"]
    page = folder / "figure.html"
    return Run(
        figure,
        str(folder.relative_to(out_dir)),
        (str(provenance.get("date")), saved.stat().st_mtime),
        runs.data_name(config.get("dataset")),
        _settings(figure, folder.name.split("-")[0], config),
        [_claim(c, folder / "check.json") for c in check["claims"]],
        _picture(folder / "figure.png"),
        {
            "command": str(provenance["command"]),
            "date": str(provenance["date"]),
            "machine": str(provenance["machine"]),
            "software": {str(k): str(v) for k, v in provenance["software"].items()},
            "seconds": float(provenance["seconds"]),
            "note": str(provenance.get("note") or ""),
        },
        str(page.relative_to(out_dir)) if page.exists() else None,
    )


def _json(path):
    try:
        value = json.loads(path.read_text())
    except (ValueError, RecursionError):
        raise ValueError(f"{path.name} is not JSON") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds no settings")
    return value


def _settings(figure, preset, config):
    own = json.loads(store.canonical(catalogue.module(figure).PRESETS[preset]))
    rows = []
    for name, value in config.items():
        usual = own.get(name)
        # Which seeds, and how many, is no other experiment: references are compared across them.
        differs = value != usual and name not in ("seed", "seeds")
        rows.append((name, _show(value), _show(usual) if differs else None))
    return rows


def _claim(claim, path):
    measured, passed = claim["measured"], claim["passed"]
    if not isinstance(passed, bool):
        raise ValueError(f"{path.name}: passed is {passed!r}, not true or false")
    return {
        **{k: str(claim[k]) for k in ("id", "statement", "source")},
        "measured": _number(math.nan if measured is None else float(measured)),
        "expected": f"{_SIGNS.get(claim['relation'], claim['relation'])} {_number(claim['expected'])}",
        "passed": passed,
    }


def _picture(path):
    data = path.read_bytes()
    if data[:8] != b"\x89PNG\r\n\x1a\n" or b"IEND" not in data[-12:]:
        raise ValueError(f"{path.name} is not a whole PNG file")
    width, height = struct.unpack(">II", data[16:24])
    src = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return {"src": src, "width": width, "height": height}


def _why(error):
    if isinstance(error, KeyError):
        return f"config.json or check.json lacks {error}"
    if isinstance(error, OSError):
        return f"{pathlib.Path(error.filename or '').name} cannot be read ({error.strerror})"
    return str(error) if type(error) is ValueError else f"not as a run leaves it ({error})"


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
        other = sorted(found.others, key=runs.PRESETS.index)
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
        elif kind in ("text", "source") and block != ["Examples:"]:
            told.append((kind, " ".join(block)))
    return told


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
    environment.filters |= {"story": _story, "prose": _prose}
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
