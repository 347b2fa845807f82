"""The command line of a program: its flags, and what --help says of them.

What several programs share stands here once; a figure's own flags are the options of its Config. Only
this module reads the command line. Importing it, or any program, defines no flag.
"""

import difflib
import sys

from absl import flags

from reproductions.bench import devices, drawings, options, parallel, usage
from reproductions.bench.errors import UsageError


class _Whole(flags.IntegerParser):
    """A whole number, or an error in words rather than in Python's."""

    def convert(self, argument):
        try:
            return super().convert(argument)
        except ValueError:
            raise ValueError("must be a whole number") from None


# How a shared flag's text is read, its default, and what --help says of it.
_TEXT, _TRUTH = flags.ArgumentParser(), flags.BooleanParser()
SHARED = {
    "preset": (
        flags.EnumParser(options.PRESETS, case_sensitive=False),
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
    "format": (
        _TEXT,
        "png",
        "files of the picture, with commas: png (always made), pdf, svg",
    ),
    "dpi": (_Whole(30, 1200), None, "dots an inch of PNG files; by default the style's"),
    "style": (
        flags.EnumParser(drawings.STYLES),
        "screen",
        "of the picture: screen (up to 8.6 inches wide, 150 dpi), or paper (6.75 inches, 300 dpi, "
        "letters of 8 points)",
    ),
    "check": (_TRUTH, False, "exit with status 1 if a claim fails, or if the run makes none"),
    "write_reference": (_TRUTH, False, "record this run's numbers as the reference of its preset"),
    "note": (
        _TEXT,
        None,
        "words to keep with the results, e.g. --note='CIFAR-10 as distributed'",
    ),
    "strategy": (
        flags.EnumParser(devices.STRATEGIES, case_sensitive=False),
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
        _Whole(1),
        1,
        "seeds or points measured at the same time, in processes that share the cores; sums round "
        "differently with another share, so results of another --jobs are measured again",
    ),
    "backend": (
        flags.EnumParser(parallel.BACKENDS, case_sensitive=False),
        "local",
        "where those processes run: on this machine, or a Dask or Ray cluster (extras dask, ray)",
    ),
    "address": (
        _TEXT,
        None,
        "the cluster's address, e.g. tcp://10.0.0.1:8786; by default one is started here",
    ),
}


def parse(name, document, argv, shared, own, switches=(), values=None, also=None):
    """The flags of a program: those named in `shared`, and text flags of its own, {name: help}, where
    the name of a shared one gives that one other words. --help prints `document` first.

    Args:
      argv: the arguments; those of this process where None.
      switches: of its own, those that are on or off.
      values: {own flag: its values in the presets}, for --help.
      also: {own flag: its other names}, each a flag that is accepted as well.

    Raises UsageError on bad input.
    """
    argv = sys.argv[1:] if argv is None else argv
    # A FlagValues of our own: importing defines nothing.
    found = flags.FlagValues()
    definitions = {n: SHARED[n] for n in shared}
    plain = lambda name: (_TRUTH if name in switches else _TEXT, None)
    definitions |= {n: (*SHARED.get(n, plain(n))[:2], words) for n, words in own.items()}
    definitions["help"] = (_TEXT, None, "show this help")
    also = also or {}
    others = {other: definitions[n] for n, names in also.items() for other in names}
    for flag, (parser, default, words) in {**definitions, **others}.items():
        where = {"flag_values": found, "module_name": name}
        flags.DEFINE(parser, flag, default, words, serializer=flags.ArgumentSerializer(), **where)
        found[flag].boolean = parser is _TRUTH or flag == "help"
    if any(a in ("--help", "-help", "-h") for a in argv):
        told = [_told(n, d, also.get(n, ()), (values or {}).get(n, "")) for n, d in definitions.items()]
        print(usage.page(document, told), flush=True)
        sys.exit(0)
    try:
        rest = found([name, *argv])[1:]
    except flags.UnrecognizedFlagError as error:
        raise UsageError(_unknown(error, argv, definitions)) from None
    except flags.Error as error:
        raise UsageError(f"{error} (--help lists the flags)".replace("\n", " ")) from None
    _named(found)
    _go_together(found)
    if rest:
        raise UsageError(f"received {rest[0]!r}, but every argument is a flag, e.g. --preset=quick.")
    return found


# What other programs call a flag of ours, and flags that none here has or needs.
_MEANT = {
    "learning_rate": "lr",
    "rate": "lr",
    "network": "model",
    "data": "dataset",
    "output_dir": "out_dir",
}
_DEVICES = ("gpu", "gpus", "device", "devices", "cuda", "num_gpus")


def _unknown(error, argv, known):
    """What is wrong with a flag that there is none of, and which one may have been meant."""
    name = error.flagname
    if name in _DEVICES:
        given = next((a for a in argv if a.lstrip("-").startswith(name)), f"--{name}")
        return (
            f"{given}: there is no such flag; a GPU that TensorFlow sees is used by itself, and "
            "--strategy=mirrored uses all of them (--help lists the flags)"
        )
    plain = name.replace("-", "_").lower()
    wanted = _MEANT.get(plain, plain)
    parts = [n for n in known if wanted in n.split("_") or n.endswith(f"_{wanted}")]
    near = difflib.get_close_matches(wanted, known, n=2, cutoff=0.7)
    meant = list(dict.fromkeys([n for n in known if n == wanted] or parts or near))[:4]
    asked = f". Did you mean {' or '.join(f'--{n}' for n in meant)}?" if meant else ""
    return f"Unknown command line flag '{name}'{asked} (--help lists the flags)"


def _named(values):
    """UsageError for a folder or a file that is named by nothing, as in --out_dir=$UNSET."""
    for name in ("out_dir", "data_dir", "output"):
        if name in values and values[name].value == "":
            raise UsageError(f"--{name}=: must name {_PLACES[name]}; received an empty text.")


_PLACES = {"out_dir": "a folder", "data_dir": "a folder", "output": "a file"}


def _told(name, definition, also, values):
    """A flag as --help shows it."""
    parser, default, words = definition
    takes = ""
    if isinstance(parser, flags.EnumParser):
        takes = f"={'|'.join(parser.enum_values)}"
    if default not in (None, False):
        words = f"{words} (default: {default})"
    return usage.Flag(name, tuple(also), takes, words, values)


def _go_together(values):
    if "strategy" in values and values.tpu and values.strategy != "tpu":
        raise UsageError(f"--tpu={values.tpu}: only with --strategy=tpu.")
    if "strategy" in values and "jobs" in values:
        devices.check(values.strategy, values.jobs, values.backend, values.tpu)
    if "backend" in values and values.address and values.backend == "local":
        raise UsageError(f"--address={values.address}: only with --backend=dask or --backend=ray.")
    if "backend" in values and values.jobs > 1 and values.backend != "local":
        raise UsageError(
            f"--jobs={values.jobs}: only with --backend=local; a cluster has its own workers."
        )
    if "plot_only" in values and values.plot_only and values.write_reference:
        raise UsageError("--write_reference: not with --plot_only.")


def of_figure(figure, name, argv):
    """A figure's flags: the shared ones and one for each option of its Config."""
    ending = "Flags; in square brackets the value in every preset, or each preset's own."
    document = f"{figure.__doc__.strip()}\n\n{ending}"
    known = {options.flag(figure.Config, o.name): o for o in options.options(figure.Config)}
    words = {flag: _describe(o) for flag, o in known.items()}
    switches = [flag for flag, o in known.items() if o.type is bool]
    values = {flag: _in_presets(o) for flag, o in known.items()}
    also = {flag: (o.name,) for flag, o in known.items() if flag != o.name}
    return parse(name, document, argv, SHARED, words, switches, values, also)


def given(figure, values):
    """{flag: text} of the figure's own flags that were given. UsageError where two name one setting."""
    found = {}
    for o in options.options(figure.Config):
        names = dict.fromkeys([options.flag(figure.Config, o.name), o.name])
        typed = {n: str(values[n].value) for n in names if values[n].value is not None}
        if len(typed) > 1:
            raise UsageError(f"{' and '.join(f'--{n}' for n in typed)} are one flag; give it once.")
        found |= typed
    return found


def as_typed(figure, values):
    """The flags that say what was measured, as one would type them."""
    return [f"--{n}={values[n].value}" for n in ("preset", *given(figure, values)) if values[n].present]


def _describe(option):
    """What --help says of an option: what it is, and which values it may have."""
    allowed = f" ({option.allowed})" if option.allowed is not None else ""
    several = ", several with commas" if str(option.type).startswith("tuple") else ""
    return f"{option.help}{several}{allowed}"


def _in_presets(option):
    """Its values in the presets; presets of one value together."""
    shown = {}
    for preset in options.PRESETS:
        shown.setdefault(options.show(options.in_preset(option, preset)), []).append(preset)
    if len(shown) == 1:
        return f"[{next(iter(shown))}]"
    return f"[{'; '.join(f'{_and(presets)}: {v}' for v, presets in shown.items())}]"


def _and(words):
    return " and ".join(words)
