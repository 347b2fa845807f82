"""From flags to verdict: what every figure's program does alike.

A figure is a module with these names, and `runs.main(module)` at its end:

    Config(runs.Config)                a frozen dataclass; each `runs.option` is a flag. A figure
                                       with a data set starts from `runs.DataConfig`
    PRESETS                            {"smoke": {...}, "quick": {...}, "paper": {...}}
    measure(config, run) -> arrays     slow, resumable
    plot(arrays, config) -> figure     from the arrays alone
    claims(arrays, config) -> [Claim]
    summary(arrays, config) -> {name: number}     what the reference guards
    html(arrays, config) -> text       if it has one: a page for figure.html, or UsageError

The run directory gets config.json (first), results.npz, figure.png and check.json, each written
whole or not at all. Only this module reads flags; `parse` and `program` are for programs that are no
figure.
"""

import contextlib
import dataclasses
import datetime
import importlib
import json
import math
import os
import pathlib
import platform
import shlex
import sys
import types
import typing
from importlib import metadata

from absl import flags

from reproductions.bench import claims as claims_module
from reproductions.bench import devices, parallel, store
from reproductions.bench.errors import UsageError, say
from reproductions.common import data

PRESETS = ("smoke", "quick", "paper")
# The code that makes numbers, as it was imported: results of other code are measured again.
_CODE = store.source_mark("wedges/*.py", "reproductions/*/*.py")


def option(help, check=None, wanted=None, choices=None):
    """A field of a figure's Config that is also a flag.

    Args:
      help: what it is, with its unit and an example.
      check, wanted: a condition on the value (on each, for a list), and the same in words.
      choices: the values there are.
    """
    return dataclasses.field(
        metadata={"help": help, "check": check, "wanted": wanted, "choices": choices}
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """What every figure's results depend on. A figure's own Config adds to it."""

    seed: int = option(
        "first random seed, of everything that is random; e.g. 0",
        lambda s: 0 <= s < 2**20,
        "a whole number from 0 to 1048575",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig(Config):
    """The same for a figure that trains networks on a data set."""

    dataset: str = option("data set: " + ", ".join(data.NAMES))


@dataclasses.dataclass(frozen=True)
class Run:
    """What `measure` needs besides its Config: where data is, and where to keep work."""

    data_dir: str | None
    checkpoints: pathlib.Path
    software: dict = dataclasses.field(default_factory=dict)
    jobs: int = 1
    backend: str = "local"
    address: str | None = None
    strategy: str = "default"
    tpu: str | None = None

    def cached(self, key, compute):
        """`compute()`'s arrays, kept for this key and these versions of the measuring code."""
        key = {**key, "software": self.software}
        return store.cached(self.checkpoints / f"{store.digest(key)}.npz", key, compute)


def data_name(dataset):
    """A Config's data set, or its several ones, in one word; None stays None."""
    return None if dataset is None else "+".join(_several(dataset))


def _several(dataset):
    return (dataset,) if isinstance(dataset, str) else tuple(dataset)


def main(figure, argv=None):
    """Run a figure's program; ends the process with its exit status."""
    if figure.__name__ == "__main__":  # workers find its functions by its own name
        figure = importlib.import_module(f"reproductions.{name_of(figure)}")
    program(name_of(figure), lambda argv: run(figure, argv), argv)


def program(name, work, argv=None, folders="--out_dir or --data_dir"):
    """Run work(argv), and end the process with the exit status that it returns; what a user can mend
    is one line. `folders`: the flags to look at where a path cannot be used."""
    try:
        sys.exit(work(sys.argv[1:] if argv is None else argv))
    except UsageError as error:
        say(f"{name}: {error}")
        sys.exit(2)
    except (OSError, RuntimeError) as error:
        if not _of_a_path(error):
            raise
        say(f"{name}: {folders}: {error}; name a folder that can be used.")
        sys.exit(2)
    except KeyboardInterrupt:
        say(f"{name}: interrupted; the same command continues from here.")
        sys.exit(130)


def _of_a_path(error):
    """Whether the error is about a path the user gave: no such home, too long, not to be entered."""
    return isinstance(error, OSError) or "home directory" in str(error)


def run(figure, argv):
    """Do all of it. Returns the exit status; raises UsageError on bad input."""
    values = _parse(figure, argv)
    store.writing = devices.is_chief(values.strategy)
    config, overrides = _config(figure, values)
    directory = _directory(figure, values, config)
    key = {"figure": name_of(figure), "config": dataclasses.asdict(config)}

    if values.plot_only:
        arrays = store.load(directory / "results.npz", key)
        if arrays is None:
            raise UsageError(
                f"--plot_only: no results in {directory}; run the same command without it first."
            )
        provenance = _provenance(directory)
    else:
        arrays, provenance = _measure(figure, values, config, directory, key)

    if not store.writing:
        say(f"done; the first worker writes {directory}")
        return 0
    _save_figure(directory / "figure.png", figure.plot(arrays, config))
    page = _save_page(figure, directory / "figure.html", arrays, config)
    verdict = figure.claims(arrays, config)
    passed = bool(verdict) and all(c.passed for c in verdict)
    store.write_json(
        directory / "check.json",
        {
            "figure": name_of(figure),
            "preset": values.preset,
            "passed": passed,
            "claims": [c.as_dict() for c in verdict],
        },
    )

    print(claims_module.table(verdict))
    numbers = figure.summary(arrays, config)
    reference = claims_module.Reference(name_of(figure))
    if values.write_reference and overrides:
        raise UsageError(f"--write_reference: a preset's own settings only, not --{overrides[0]}.")
    if values.write_reference:
        reference.write(values.preset, key, numbers, provenance)
        say(f"recorded {len(numbers)} numbers in {reference.path}")
    elif not overrides:
        for line in reference.report(values.preset, key, numbers):
            print(line)
    print(f"figure: {directory / 'figure.png'}{f' and {page.name}' if page else ''}")
    print(directory)
    return 1 if values.check and not passed else 0


def name_of(figure):
    """fig6_swa for the module in fig6_swa.py, also when it runs as __main__."""
    return pathlib.Path(figure.__file__).stem


# ---- flags ------------------------------------------------------------------------------------------


# What several programs share: how a flag's text is read, its default, and what --help says of it.
_TEXT, _TRUTH = flags.ArgumentParser(), flags.BooleanParser()
_SHARED = {
    "preset": (
        flags.EnumParser(PRESETS),
        "paper",
        "size of the run: smoke (seconds), quick (about a minute on two cores), paper (the full one, "
        "minutes to an hour); other flags override its values",
    ),
    "data_dir": (
        _TEXT,
        None,
        "folder of tensorflow-datasets, prepared or to download to; by default "
        "$TFDS_DATA_DIR, else ~/tensorflow_datasets",
    ),
    "out_dir": (_TEXT, "runs", "folder for run directories and checkpoints"),
    "plot_only": (_TRUTH, False, "draw and judge the saved results again; computes nothing"),
    "check": (_TRUTH, False, "exit with status 1 if a claim fails, or if the run makes none"),
    "write_reference": (_TRUTH, False, "record this run's numbers as the reference of its preset"),
    "note": (
        _TEXT,
        None,
        "words to keep with the results, e.g. --note='CIFAR-10 as distributed'",
    ),
    "strategy": (
        flags.EnumParser(devices.STRATEGIES),
        "default",
        "where to train: default is a GPU where TensorFlow sees one, else the CPU; the others share "
        "each batch: mirrored among this machine's GPUs, multi_worker among machines that run the same "
        "command on one --out_dir (TF_CONFIG lists them), tpu among a TPU's cores",
    ),
    "tpu": (
        _TEXT,
        None,
        "the TPU's name or address, with --strategy=tpu; by default the local one",
    ),
    "jobs": (
        flags.IntegerParser(1),
        1,
        "seeds or points measured at the same time, in processes that share the cores",
    ),
    "backend": (
        flags.EnumParser(parallel.BACKENDS),
        "local",
        "where those processes run: on this machine, or a Dask or Ray cluster (extras dask, ray)",
    ),
    "address": (
        _TEXT,
        None,
        "the cluster's address, e.g. tcp://10.0.0.1:8786; by default one is started here",
    ),
}


def parse(name, document, argv, shared, own):
    """The flags of a program: those named in `shared`, and text flags of its own, {name: help}, where
    the name of a shared one gives that one other words. --help prints `document` first.

    Raises UsageError on bad input.
    """
    # A FlagValues of our own: importing defines nothing.
    values = flags.FlagValues()
    definitions = {n: _SHARED[n] for n in shared}
    definitions |= {n: (*_SHARED.get(n, (_TEXT, None))[:2], help) for n, help in own.items()}
    definitions["help"] = (_TEXT, None, "show this help")
    for flag, (parser, default, help) in definitions.items():
        if isinstance(parser, flags.EnumParser):
            help = f"<{'|'.join(parser.enum_values)}>: {help}"
        where = {"flag_values": values, "module_name": name}
        flags.DEFINE(parser, flag, default, help, serializer=flags.ArgumentSerializer(), **where)
        values[flag].boolean = parser is _TRUTH or flag == "help"
    if any(a in ("--help", "-help", "-h") for a in argv):
        print(document.strip(), _help(values, name), sep="\n")
        sys.exit(0)
    try:
        rest = values([name, *argv])[1:]
    except flags.Error as error:
        raise UsageError(f"{error} (--help lists the flags)".replace("\n", " ")) from None
    if "strategy" in values and values.tpu and values.strategy != "tpu":
        raise UsageError(f"--tpu={values.tpu}: only with --strategy=tpu.")
    if "strategy" in values and "jobs" in values:
        devices.check(values.strategy, values.jobs, values.backend)
    if "backend" in values and values.address and values.backend == "local":
        raise UsageError(f"--address={values.address}: only with --backend=dask or --backend=ray.")
    if "backend" in values and values.jobs > 1 and values.backend != "local":
        raise UsageError(
            f"--jobs={values.jobs}: only with --backend=local; a cluster has its own workers."
        )
    if rest:
        raise UsageError(f"received {rest[0]!r}, but every argument is a flag, e.g. --preset=quick.")
    return values


def _parse(figure, argv):
    """A figure's flags: the shared ones and one for each option of its Config."""
    own = {}
    for field in _options(figure):
        choices = field.metadata["choices"]
        shown = ", ".join(
            f"{p}: {_show(figure.PRESETS[p][field.name])}"
            for p in PRESETS
            if field.name in figure.PRESETS[p]
        )
        own[field.name] = (
            f"{field.metadata['help']}" + (f" ({', '.join(choices)})" if choices else "") + f" [{shown}]"
        )
    document = f"{figure.__doc__.strip()}\n\nFlags [value in each preset]:"
    values = parse(name_of(figure), document, argv, _SHARED, own)
    if values.write_reference and values.plot_only:
        raise UsageError("--write_reference: not with --plot_only.")
    return values


def _help(values, module):
    lines = []
    for flag in sorted(values.get_flags_for_module(module), key=lambda f: f.name):
        default = f" (default {flag.default})" if flag.default not in (None, False) else ""
        lines.append(f"  --{flag.name}\n      {flag.help}{default}")
    return "\n".join(lines)


def _options(figure):
    return [f for f in dataclasses.fields(figure.Config) if "help" in f.metadata]


def _config(figure, values):
    """The preset's Config with the flags that were given, and the names of what they override."""
    chosen = dict(figure.PRESETS[values.preset])
    hints = typing.get_type_hints(figure.Config)
    overrides = []
    for field in _options(figure):
        given = values[field.name].value
        if given is not None:
            value = _convert(field, hints[field.name], given)
            if value != chosen[field.name] and field.name not in ("seed", "seeds"):
                overrides.append(field.name)
            chosen[field.name] = value
        elif not isinstance(chosen[field.name], str):
            _verify(field, chosen[field.name], chosen[field.name])
    return figure.Config(**chosen), overrides


def _convert(field, hint, given):
    """The text of a flag as the field's type; UsageError in one line if it is not one."""
    kind, many = hint, False
    if isinstance(hint, types.UnionType):  # X | None
        kind = next(a for a in typing.get_args(hint) if a is not type(None))
    if typing.get_origin(kind) is tuple:  # tuple[X, ...]
        kind, many = typing.get_args(kind)[0], True
    try:
        value = tuple(kind(v) for v in given.split(",")) if many else kind(given)
    except ValueError:
        words = {int: "a whole number", float: "a number"}[kind]
        raise UsageError(
            f"--{field.name}={given}: must be {words}{' or several with commas' if many else ''}."
        ) from None
    _verify(field, value, given)
    return value


def _verify(field, value, given):
    check, choices = field.metadata["check"], field.metadata["choices"]
    for v in value if isinstance(value, tuple) else (value,):
        if choices and v not in choices:
            raise UsageError(f"--{field.name}={given}: choose from {', '.join(choices)}.")
        finite = not isinstance(v, float) or math.isfinite(v)
        if not finite or (check and v is not None and not check(v)):
            raise UsageError(f"--{field.name}={given}: must be {field.metadata['wanted']}.")


def _show(value):
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


# ---- the run directory ------------------------------------------------------------------------------


def _directory(figure, values, config):
    """<out_dir>/<figure>/<preset>[-<data set>]-<hash of the Config>: one command, one folder."""
    marks = [
        values.preset,
        data_name(getattr(config, "dataset", None)),
        store.digest(dataclasses.asdict(config))[:8],
    ]
    return pathlib.Path(values.out_dir).expanduser() / name_of(figure) / "-".join(m for m in marks if m)


def _measure(figure, values, config, directory, key):
    """The figure's arrays: measured, or from a finished run of the same settings and software."""
    results, about = directory / "results.npz", directory / "config.json"
    own = store.source_mark(f"reproductions/{name_of(figure)}.py")
    software = {**_versions(), "code": store.digest([_CODE, own])}
    if results.exists():
        provenance = _provenance(directory)
        if provenance.get("software") == software:
            arrays = store.load(results, key)
            if arrays is not None:
                say(f"finished before: {directory} (remove it to measure again)")
                return arrays, provenance
        else:
            say(f"measuring again: {directory} was made by other versions of the software")
    if isinstance(config, DataConfig):
        for name in _several(config.dataset):
            data.check(name, values.data_dir)
    arguments = shlex.join(_as_given(figure, values))
    provenance = {
        "command": f"python -m reproductions.{name_of(figure)} {arguments}".strip(),
        "date": datetime.date.today().isoformat(),
        "machine": _machine(),
        "software": software,
        "note": values.note,
    }
    new = not directory.exists()
    store.remove(results)  # config.json below is not about them
    store.write_json(about, {**key, "preset": values.preset, "provenance": provenance})
    started = datetime.datetime.now()
    run = Run(
        values.data_dir,
        pathlib.Path(values.out_dir).expanduser() / "checkpoints",
        software,
        **{name: values[name].value for name in ("jobs", "backend", "address", "strategy", "tpu")},
    )
    try:
        devices.start(run)
        arrays = figure.measure(config, run)
        devices.agree({**key, "end": True}, None)  # none leaves while another needs it
    except Exception:
        if new and store.writing:  # nothing half-written
            about.unlink(missing_ok=True)
            for folder in (directory, directory.parent):
                with contextlib.suppress(OSError):
                    folder.rmdir()  # stays if it holds another run
        raise
    seconds = (datetime.datetime.now() - started).total_seconds()
    provenance["seconds"] = round(seconds, 1)
    store.save(results, arrays, key)
    store.write_json(about, {**key, "preset": values.preset, "provenance": provenance})
    return arrays, provenance


def _save_figure(path, figure):
    store.write_bytes(path, lambda file: figure.savefig(file, format="png"))


def _save_page(figure, path, arrays, config):
    """Write the figure's page, if it has one and what draws it is installed: its path, or None."""
    if not hasattr(figure, "html"):
        return None
    try:
        page = figure.html(arrays, config)
    except UsageError as error:  # an extra is missing; the rest of the run does not need it
        say(f"no figure.html: {error}")
        path.unlink(missing_ok=True)  # an earlier one would show other results
        return None
    store.write_bytes(path, lambda file: file.write(page.encode()))
    return path


def _versions():
    packages = ("tensorflow", "keras", "numpy", "scikit-learn")
    return {"python": platform.python_version(), **{p: metadata.version(p) for p in packages}}


def _as_given(figure, values):
    """The flags that say what was measured, as one would type them."""
    names = ["preset", *(f.name for f in _options(figure))]
    given = ((n, values[n]) for n in names if values[n].present)
    return [f"--{n}={flag.value}" for n, flag in given]


def _provenance(directory):
    """What config.json says of how the results there were made; {} if it cannot be read."""
    try:
        return json.loads((directory / "config.json").read_text())["provenance"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _machine():
    model = platform.processor() or platform.machine()
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(": ", 1)[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        pass
    return f"{model}, {len(_cores())} cores, {platform.system()}"


def _cores():
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())
