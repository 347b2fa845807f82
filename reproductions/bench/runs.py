"""From flags to verdict: what every figure's program does alike.

A figure is a module with these names, and `runs.main(__name__)` at its end:

    Config(options.Config)             its settings, each a flag, with a value for each preset
    measure(config) -> arrays          slow, resumable
    judged(arrays, config) -> {claim: number}     what the claims are about
    claims(arrays, config) -> [Claim]             in words, with bounds: see `claims.Verdict`
    summary(arrays, config) -> {name: number}     what the reference guards
    plot(arrays, config) -> figure     from the arrays alone
    html(arrays, config) -> text       if it has one: a page for figure.html, or UsageError
    more_pictures(arrays, config) -> {name: figure}    if it has any: <name>.png beside figure.png
    JUDGED_FROM            if it has any: the smallest preset that can judge its claims; else paper
    axes(config) -> {array: {axis: its values}}    if it has one: columns of series/*.csv, see `tables`

`measure`, and what it calls, find folders and processes by `workplace.current()`.

The run directory gets config.json (first), results.npz, figure.png (and figure.pdf, figure.svg, if they
are asked for), series/*.csv, claims.tex and check.json (last), each written whole or not at all.
"""

import contextlib
import dataclasses
import importlib
import pathlib
import sys
import tempfile

from reproductions.bench import (
    ahead,
    devices,
    drawings,
    elapsed,
    findings,
    flags,
    marks,
    notice,
    options,
    output,
    overview,
    parallel,
    provenance,
    store,
    tables,
    verdicts,
    watching,
    workers,
    workplace,
)
from reproductions.bench import claims as claims_module
from reproductions.bench.errors import UsageError, say


def main(name, argv=None):
    """Run the program of the figure in the module of this name; ends the process with its status."""
    figure = sys.modules[name]
    if name == "__main__":  # workers find its functions by its own name
        figure = importlib.import_module(f"reproductions.{name_of(figure)}")
    program(name_of(figure), lambda argv: run(figure, argv), argv)


def program(name, work, argv=None, folders="--out_dir or --data_dir"):
    """Run work(argv), and end the process with the exit status that it returns; what a user can mend
    is one line. `folders`: the flags to look at where a path cannot be used."""
    ahead.wait()
    with output.unheard():
        _ended(name, work, argv, folders)


def _ended(name, work, argv, folders):
    try:
        status = work(argv)
        sys.stdout.flush()  # now, where it can be said that it failed
        sys.exit(status)
    except UsageError as error:
        say(f"{name}: {output.told(error)}")
        sys.exit(2)
    except BrokenPipeError:  # whoever read what we print has gone, as `head` does
        output.give_up()
        sys.stderr.close()
        sys.exit(141)
    except (OSError, RuntimeError) as error:
        if output.is_full(error):
            output.give_up()
            say(f"{name}: cannot write to standard output: {error.strerror}")
            sys.exit(1)
        if not _of_a_path(error):
            raise
        say(f"{name}: {folders}: {error}; name a folder that can be used.")
        sys.exit(2)
    except KeyboardInterrupt:
        say(f"{name}: interrupted; the same command continues from here.")
        sys.exit(130)


def _of_a_path(error):
    """Whether the error is about a path the user gave: no such home, too long, not to be entered."""
    of_a_file = isinstance(error, OSError) and error.filename is not None
    return of_a_file or "home directory" in str(error)


def name_of(figure):
    """fig6_swa for the module in fig6_swa.py, also when it runs as __main__."""
    return pathlib.Path(figure.__file__).stem


def run(figure, argv):
    """Do all of it. Returns the exit status; raises UsageError on bad input."""
    values = flags.of_figure(figure, name_of(figure), argv)
    config, overrides = options.make(figure.Config, values.preset, flags.given(figure, values))
    if values.write_reference and overrides:
        raise UsageError(f"--write_reference: a preset's own settings only, not --{overrides[0]}.")
    wanted = drawings.formats(values["format"].value)
    reference = claims_module.Reference(name_of(figure))
    reference.read()  # one that cannot be read is no news for after the measurement
    place = _workplace(values)
    directory = folder_of(figure, values, config)
    if values.plot_only:
        key, arrays = _saved(directory, figure, config)
        made = provenance.read(directory)
    else:
        alone = parallel.interruptible(place.checkpoints.parent)
        with workplace.at(place), parallel.shared_cores(place), alone:
            usual = None if overrides else watching.usual(name_of(figure), values.preset)
            key, arrays, made = _measured(figure, values, config, directory, usual)
    if not place.writes:
        say(f"done; the first worker writes {directory}")
        return 0

    verdict, numbers = figure.claims(arrays, config), figure.summary(arrays, config)
    if values.write_reference:
        judged_by = {"judged_by": marks.of(figure.claims, figure.summary)}
        reference.write(values.preset, key, numbers, made | judged_by, verdict)
        say(f"recorded {len(numbers)} numbers and {len(verdict)} verdicts in {reference.path}")
        if values.preset == "paper":
            page = reference.path.with_suffix(".md")
            with drawings.style("screen"):  # as pages show it, whatever this run's files look like
                drawings.keep(page, _drawn(figure, arrays, config))
            findings.save(page, reference.read()["paper"])
            overview.save(page.parent)
    compared = None if overrides else reference.compare(values.preset, key, numbers)
    check = _judged(figure, values.preset, verdict, reference, compared)
    try:
        with drawings.style(values["style"].value):
            drawn = _drawn(figure, arrays, config)
        files = drawings.save(directory, drawn, wanted, values.dpi)
        page = _save_page(figure, directory / "figure.html", arrays, config)
        tables.save_series(directory, arrays, figure.axes(config) if hasattr(figure, "axes") else {})
        told = tables.latex(check["claims"], made.get("command") or name_of(figure))
        store.write_bytes(directory / "claims.tex", lambda file: file.write(told.encode()))
        store.write_json(directory / "check.json", check)
    finally:  # also where nothing can be written: what was found is known
        print(verdicts.table(check["claims"], check["judged"]))
    for words in compared["differs"] if compared else ():
        print(f"differs  {words}")
    print(verdicts.agreement(compared, values.preset))
    others = files[1:] + ([page.name] if page else [])
    print(f"figure: {', '.join([str(directory / files[0]), *others])}")
    print(directory)
    return 1 if values.check and not check["passed"] else 0


def _drawn(figure, arrays, config):
    """{name: picture} of a figure; its own is called "figure"."""
    more = figure.more_pictures(arrays, config) if hasattr(figure, "more_pictures") else {}
    return {"figure": figure.plot(arrays, config), **more}


def _workplace(values):
    how = {name: values[name].value for name in ("jobs", "backend", "address", "strategy")}
    software = provenance.software(**how)
    if (count := workers.count(values.strategy)) > 1:
        software["workers"] = count
    if values.tpu:
        software["tpu"] = values.tpu
    return workplace.Workplace(
        pathlib.Path(values.out_dir).expanduser() / "checkpoints",
        values.data_dir,
        software,
        tpu=values.tpu,
        writes=workers.is_chief(values.strategy),
        **how,
    )


# ---- the run directory ------------------------------------------------------------------------------


def folder_of(figure, values, config):
    """<out_dir>/<figure>/<preset>[-<data set>]-<hash of the Config>: one command, one folder."""
    names = [
        values.preset,
        data_name(getattr(config, "dataset", None)),
        store.digest(dataclasses.asdict(config))[:8],
    ]
    return pathlib.Path(values.out_dir).expanduser() / name_of(figure) / "-".join(n for n in names if n)


def data_name(dataset):
    """A Config's data set, or its several ones, in one word; None stays None."""
    return dataset if dataset is None or isinstance(dataset, str) else "+".join(dataset)


def _about(figure, config):
    return {"figure": name_of(figure), "config": dataclasses.asdict(config)}


def _saved(directory, figure, config):
    """What an earlier run of these settings left, whatever data and software it had: key and arrays."""
    found = store.read(directory / "results.npz")
    about = _about(figure, config)
    if found is None or any(
        store.canonical(found[0].get(k)) != store.canonical(about[k]) for k in about
    ):
        raise UsageError(
            f"--plot_only: no results in {directory}; run the same command without it first."
        )
    return found


def _measured(figure, values, config, directory, usual):
    """The key of the figure's results, the arrays, and how they were made: now, or in a finished run of
    the same settings, data, code, software and threads. `usual`: seconds that it takes, or None."""
    place = workplace.current()
    config.check()
    software = {**place.software, "code": marks.of(figure.measure, figure.Config)}
    key = {**_about(figure, config), "inputs": config.inputs(), "software": software}
    results, about = directory / "results.npz", directory / "config.json"
    found = store.read(results)
    if found is not None:
        made = provenance.read(directory)
        if store.canonical(found[0]) != store.canonical(key):
            say(f"measuring again: {directory} was made {_otherwise(found[0], key)}")
        elif made.get("software") != software:
            say(f"measuring again: {about} does not say how the results beside it were made")
        else:
            say(f"finished before: {directory} (remove it to measure again)")
            return *found, made
    if place.writes:
        can_write(values.out_dir)
    for line in notice.of_full_run(figure, name_of(figure), config, values.preset, place.data_dir):
        say(line)
    made = provenance.record(name_of(figure), flags.as_typed(figure, values), software, values.note)
    # Of a run that is continued all parts count.
    with (
        store.tidy(directory, place.checkpoints),
        _anew(*[results, about] * place.writes),
        elapsed.counted(directory / "elapsed.json", key, place.writes) as took,
    ):
        if place.writes:
            store.write_json(about, {**key, "preset": values.preset, "provenance": made})
        with workplace.at(devices.start(place)):
            with watching.alone(name_of(figure), usual):
                arrays = figure.measure(config)
            workers.agree({**key, "end": True}, None)  # none leaves while another needs it
        made |= took()
        if place.writes:
            store.save(results, arrays, key)
            store.write_json(about, {**key, "preset": values.preset, "provenance": made})
    return key, arrays, made


class _Tried(Exception):
    """A folder can be written to: what was made to find that out goes again."""


def can_write(out_dir):
    """UsageError now, rather than once something is to be written, where nothing can be."""
    folder = pathlib.Path(out_dir).expanduser()
    try:
        with store.tidy(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(2**12))  # of an empty file a full disk has room for the name
                file.flush()
                raise _Tried
    except _Tried:
        pass
    except OSError as error:
        would_do = output.elsewhere(error)
        raise UsageError(
            f"--out_dir={out_dir}: cannot write there ({error.strerror}); name {would_do}."
        ) from None


def _otherwise(found, key):
    """What was different when results were made, in words."""
    if found.get("config") != key["config"] and store.canonical(found.get("config")) != store.canonical(
        key["config"]
    ):
        return "for other settings"
    if found.get("inputs") != key["inputs"]:
        return "with other data"
    before = found.get("software") or {}
    differs = {k for k in {*before, *key["software"]} if before.get(k) != key["software"].get(k)}
    if differs == {"threads"}:
        return (
            f"with {before.get('threads')} threads a process, and this run has "
            f"{key['software']['threads']}; the same --jobs, or --plot_only, takes it as it is"
        )
    return "by other code" if differs == {"code"} else "by other versions of the software"


@contextlib.contextmanager
def _anew(*paths):
    """Without these files; where the block fails they are again what they were, so that nothing is left
    half-written, and a run that is refused costs no earlier result. An interrupted run is to be
    continued."""
    aside = {path: path.with_name(f".{path.name}.before") for path in paths}
    try:
        for path, other in aside.items():
            other.unlink(missing_ok=True)  # of a run that was killed
            with contextlib.suppress(FileNotFoundError):
                path.rename(other)  # needs no room, here or on the way back
        yield
    except Exception:
        # What stands there now, beside this run's config.json, another run has finished meanwhile.
        theirs = any(path.exists() for path in paths[:-1])
        for path, other in aside.items() if not theirs else ():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                other.rename(path)
        raise
    finally:
        for other in aside.values():
            with contextlib.suppress(OSError):
                other.unlink(missing_ok=True)


def _judged(figure, preset, verdict, reference, compared):
    """What check.json holds: the claims, whether there are some and all hold, whether the preset is
    large enough to judge them, and how the numbers compare with the reference."""
    made = [c.as_dict() for c in verdict]
    recorded = reference.verdicts(figure.Config)
    return {
        "figure": name_of(figure),
        "preset": preset,
        "passed": bool(verdict) and all(c.passed for c in verdict),
        "judged": verdicts.judges(figure, preset),
        "reference": compared,
        "claims": verdicts.judged(made, figure, preset, recorded),
    }


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
