"""The command line of a program: its flags, and what --help says of them.

What several programs share stands here once; a figure's own flags are the options of its Config. Only
this module reads the command line. Importing it, or any program, defines no flag.
"""

import sys

from absl import flags

from reproductions.bench import devices, drawings, options, parallel
from reproductions.bench.errors import UsageError

# How a shared flag's text is read, its default, and what --help says of it.
_TEXT, _TRUTH = flags.ArgumentParser(), flags.BooleanParser()
SHARED = {
    "preset": (
        flags.EnumParser(options.PRESETS),
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
    "dpi": (flags.IntegerParser(30, 1200), None, "dots an inch of PNG files; by default the style's"),
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
        "seeds or points measured at the same time, in processes that share the cores; sums round "
        "differently with another share, so results of another --jobs are measured again",
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


def parse(name, document, argv, shared, own, switches=()):
    """The flags of a program: those named in `shared`, and text flags of its own, {name: help}, where
    the name of a shared one gives that one other words. Those of `switches` are on or off. --help prints
    `document` first.

    argv: the arguments; those of this process where None. Raises UsageError on bad input.
    """
    argv = sys.argv[1:] if argv is None else argv
    # A FlagValues of our own: importing defines nothing.
    values = flags.FlagValues()
    definitions = {n: SHARED[n] for n in shared}
    plain = lambda name: (_TRUTH if name in switches else _TEXT, None)
    definitions |= {n: (*SHARED.get(n, plain(n))[:2], help) for n, help in own.items()}
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
    _go_together(values)
    if rest:
        raise UsageError(f"received {rest[0]!r}, but every argument is a flag, e.g. --preset=quick.")
    return values


def _go_together(values):
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
    if "write_reference" in values and values.write_reference and values.plot_only:
        raise UsageError("--write_reference: not with --plot_only.")


def of_figure(figure, name, argv):
    """A figure's flags: the shared ones and one for each option of its Config."""
    document = f"{figure.__doc__.strip()}\n\nFlags [value in each preset]:"
    known = options.options(figure.Config)
    own = {o.name: _describe(o) for o in known}
    return parse(name, document, argv, SHARED, own, [o.name for o in known if o.type is bool])


def given(figure, values):
    """{name: text} of the figure's own flags that were given."""
    own = {o.name: values[o.name] for o in options.options(figure.Config)}
    return {name: str(flag.value) for name, flag in own.items() if flag.value is not None}


def as_typed(figure, values):
    """The flags that say what was measured, as one would type them."""
    names = ["preset", *(o.name for o in options.options(figure.Config))]
    return [f"--{n}={values[n].value}" for n in names if values[n].present]


def _describe(option):
    """What --help says of an option: what it is, which values it may have, those of the presets."""
    shown = ", ".join(f"{p}: {options.show(options.in_preset(option, p))}" for p in options.PRESETS)
    allowed = f" ({option.allowed})" if option.allowed is not None else ""
    several = ", several with commas" if str(option.type).startswith("tuple") else ""
    return f"{option.help}{several}{allowed} [{shown}]"


def _help(values, module):
    lines = []
    for flag in sorted(values.get_flags_for_module(module), key=lambda f: f.name):
        default = f" (default {flag.default})" if flag.default not in (None, False) else ""
        lines.append(f"  --{flag.name}\n      {flag.help}{default}")
    return "\n".join(lines)
