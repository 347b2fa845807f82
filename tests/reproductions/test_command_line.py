"""The command line: what is refused before anything runs, what --help shows, where output goes."""

import errno
import io
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from reproductions import emergent_gradient, fig3_tunnel, fig5_widths, fig6_swa, report
from reproductions.bench import (
    catalogue,
    devices,
    flags,
    marks,
    notice,
    options,
    output,
    runs,
    store,
    usage,
)
from reproductions.bench.claims import Claim
from reproductions.bench.errors import UsageError
from reproductions.common import data

ROOT = pathlib.Path(__file__).parents[2]


def refused(figure, *given):
    """The one line in which a figure's program refuses these flags, before it asks for any data."""
    with pytest.raises(UsageError) as error:
        values = flags.of_figure(figure, runs.name_of(figure), ["--preset=smoke", *given])
        config, _ = options.make(figure.Config, values.preset, flags.given(figure, values))
        options.Config.check(config)
    assert "\n" not in str(error.value)
    return str(error.value)


def made(figure, *given):
    """The Config that these flags make."""
    values = flags.of_figure(figure, runs.name_of(figure), ["--preset=smoke", *given])
    return options.make(figure.Config, values.preset, flags.given(figure, values))[0]


# ---- settings that do not go together ---------------------------------------------------------------


def test_the_low_rate_is_below_the_high_one():
    assert refused(fig6_swa, "--low=0.5", "--high=0.1") == "--low=0.5: must be below --high=0.1."
    assert refused(fig6_swa, "--low=0.2", "--high=0.2") == "--low=0.2: must be below --high=0.2."


@pytest.mark.parametrize(
    ("figure", "given"), [(fig6_swa, "--lr=0.03,0.03"), (fig5_widths, "--width=1,2,1.0")]
)
def test_a_list_names_each_value_once(figure, given):
    assert refused(figure, given) == f"{given}: name each value once."


def test_what_is_no_list_of_values_to_try_may_repeat_one():
    config = made(emergent_gradient, "--networks=fc,simple_cnn", "--dataset=digits,digits")
    assert config.dataset == ("digits", "digits")


@pytest.mark.parametrize(
    ("figure", "given", "words"),
    [
        (
            fig6_swa,
            "--batch_size=1438",
            "--batch_size=1438: must be at most the 1,437 training examples of digits.",
        ),
        (
            fig5_widths,
            "--batch_size=16,2000",
            "--batch_size=2000: must be at most the 1,437 training examples of digits.",
        ),
        (
            fig5_widths,
            "--base_batch_size=1500",
            "--base_batch_size=1500: must be at most the 1,437 training examples of digits.",
        ),
        (
            emergent_gradient,
            "--batch_size=5000",
            "--batch_size=5000: must be at most the 1,437 training examples of digits.",
        ),
    ],
)
def test_a_batch_is_not_larger_than_the_data_set(figure, given, words):
    assert refused(figure, "--dataset=digits", given) == words


def test_a_batch_of_all_examples_is_one():
    config = made(fig6_swa, "--dataset=digits", "--batch_size=1437")
    assert config.batch_size == 1437


@pytest.mark.parametrize("name", ["digits", "mnist1d"])
def test_the_sizes_that_are_known_beforehand_are_those_of_the_data(name):
    assert data._EXAMPLES[name] == len(data.load(name).y_train)
    assert set(data._EXAMPLES) == set(data.NAMES)
    assert set(data._MEGABYTES) == set(data.NAMES) - {"digits", "mnist1d"}


# ---- how things are written -------------------------------------------------------------------------


def test_capitals_and_hyphens_of_a_name_do_not_matter():
    config = made(fig6_swa, "--dataset=Fashion-MNIST", "--model=Simple_CNN", "--optimizer=Adam")
    assert (config.dataset, config.model, config.optimizer) == ("fashion_mnist", "simple_cnn", "adam")
    values = flags.of_figure(fig6_swa, "fig6_swa", ["--preset=SMOKE", "--strategy=Mirrored"])
    assert (values.preset, values.strategy) == ("smoke", "mirrored")
    # Another spelling of the preset's own value makes no other experiment.
    assert options.make(fig6_swa.Config, "smoke", {"dataset": "DIGITS"})[1] == []
    # One's own network is named by a path, whose capitals do matter.
    assert options.make(fig6_swa.Config, "smoke", {"model": "My.Nets:Deep"})[0].model == "My.Nets:Deep"


def test_one_name_for_one_thing_and_the_settings_own_name_too():
    for flag in ("lr", "learning_rate"):
        assert made(fig3_tunnel, f"--{flag}=0.5").learning_rate == 0.5
        assert refused(fig3_tunnel, f"--{flag}=0") == f"--{flag}=0: must be above 0."
    both = "--lr and --learning_rate are one flag; give it once."
    assert refused(fig3_tunnel, "--lr=0.1", "--learning_rate=0.1") == both
    values = flags.of_figure(fig3_tunnel, "fig3_tunnel", ["--learning_rate=0.5", "--path_lr=0.1"])
    assert flags.as_typed(fig3_tunnel, values) == ["--learning_rate=0.5", "--path_lr=0.1"]


def test_every_figure_calls_a_learning_rate_lr():
    """A setting that says it is a rate, of what descends, ends in lr."""
    rates = re.compile(r"\b(learning rate|Adam's (constant )?rate|rate of SGD|rates of SGD)\b")
    for name in catalogue.FIGURES:
        config = catalogue.module(name).Config
        for o in options.options(config):
            if rates.search(o.help) and not o.name.endswith("epochs") and o.name != "step":
                assert options.flag(config, o.name).endswith("lr"), (name, o.name)


@pytest.mark.parametrize(
    ("flag", "meant"),
    [
        ("--epochs=5", ". Did you mean --cycle_epochs or --pretrain_epochs?"),
        ("--learning_rate=1", ". Did you mean --lr?"),
        ("--out-dir=x", ". Did you mean --out_dir?"),
        ("--batchsize=3", ". Did you mean --batch_size?"),
        ("--nothing_like_it=3", ""),
    ],
)
def test_a_flag_that_there_is_none_of_is_told_which_was_meant(flag, meant):
    name = flag[2:].partition("=")[0]
    words = f"Unknown command line flag '{name}'{meant} (--help lists the flags)"
    assert refused(fig6_swa, flag) == words


@pytest.mark.parametrize("flag", ["--gpu=1", "--gpus=2", "--device=cuda"])
def test_a_gpu_needs_no_flag(flag):
    line = refused(fig6_swa, flag)
    assert line.startswith(
        f"{flag}: there is no such flag; a GPU that TensorFlow sees is used by itself"
    )
    assert "--strategy=mirrored" in line


@pytest.mark.parametrize("flag", ["out_dir", "data_dir"])
def test_a_folder_is_named_by_something(flag):
    assert refused(fig6_swa, f"--{flag}=") == f"--{flag}=: must name a folder; received an empty text."
    with pytest.raises(UsageError, match="--output=: must name a file; received an empty text."):
        report.run(["--output="])


def test_a_tpu_that_this_machine_lacks_is_refused_before_tensorflow_is_asked(monkeypatch):
    monkeypatch.setattr(devices, "_has_tpu", lambda: False)
    words = "this machine has no TPU; name one with --tpu, or use --strategy=default."
    assert refused(fig6_swa, "--strategy=tpu") == f"--strategy=tpu: {words}"
    assert refused(fig6_swa, "--strategy=tpu", "--tpu=local") == f"--strategy=tpu --tpu=local: {words}"
    flags.of_figure(fig6_swa, "fig6_swa", ["--strategy=tpu", "--tpu=far"])
    monkeypatch.setattr(devices, "_has_tpu", lambda: True)
    flags.of_figure(fig6_swa, "fig6_swa", ["--strategy=tpu"])


def test_a_tpu_s_address_at_which_nobody_listens_is_refused_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        given = f"--tpu=grpc://127.0.0.1:{server.getsockname()[1]}"
        flags.of_figure(fig6_swa, "fig6_swa", ["--strategy=tpu", given])
    assert refused(fig6_swa, "--strategy=tpu", given) == (
        f"--strategy=tpu {given}: no TPU answers (Connection refused); name one that does, or use "
        "--strategy=default."
    )


# ---- --help -----------------------------------------------------------------------------------------


def helped(name, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as end:
        runs.main(catalogue.module(name).__name__, ["--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", [60, 100])
@pytest.mark.parametrize("name", catalogue.FIGURES)
def test_help_is_as_wide_as_the_terminal_and_shows_every_flag_once(name, columns, monkeypatch, capsys):
    lines = helped(name, columns, monkeypatch, capsys).splitlines()
    for line in lines:  # a word, such as a list of numbers, is never broken, nor a command or a formula
        whole = re.match(r"    \S", line) or len(line.split()) == 1
        assert len(line) <= columns or whole, line
    shown = [m[1] for line in lines if (m := re.match(r"  --(\w+)", line))]
    config = catalogue.module(name).Config
    own = {options.flag(config, o.name) for o in options.options(config)}
    assert sorted(shown) == sorted({*flags.SHARED, *own, "help"})


def test_help_says_what_it_is_for_first_and_then_shows_flags_in_groups(monkeypatch, capsys):
    shown = helped("fig6_swa", 100, monkeypatch, capsys)
    told = [
        "Figure 6: when may",
        "python -m reproductions.fig6_swa",
        "Source:",
        "\nrun:\n",
        "  --preset=smoke",
    ]
    told += [
        "\ndata:\n",
        "\n  --dataset\n",
        "\nmodel:\n",
        "\n  --width\n",
        "\nthis figure:\n",
        "\n  --lr\n",
    ]
    places = [shown.index(words) for words in told]
    assert places == sorted(places)
    assert "nonlinearity (tanh, relu) [tanh]" in shown  # not once for each preset
    assert "maximum rates, a panel each, several with commas (above 0)" in shown


def test_presets_of_one_value_are_shown_together():
    config = types.SimpleNamespace(presets={"paper": (1.0, 2.0), "smoke": 3})
    assert flags._in_presets(config) == "[smoke: 3; quick and paper: 1.0,2.0]"
    assert flags._in_presets(types.SimpleNamespace(presets={"paper": None})) == "[None]"
    assert flags._in_presets(types.SimpleNamespace(presets={"paper": 1, "quick": 2, "smoke": 1})) == (
        "[smoke and paper: 1; quick: 2]"
    )


def test_a_command_keeps_its_line_and_what_is_said_of_it_goes_below():
    page = usage.page("A title.\n\n    python -m a --lr=0.1      many words about it\nThe end.", [], 40)
    assert page == "A title.\n\n    python -m a --lr=0.1\n        many words about it\nThe end."
    flag = usage.Flag("lr", ("learning_rate",), "", "the rate", "[0.1]")
    page = usage.page("A title.", [flag], 30)
    assert page.splitlines()[2:] == [
        "this figure:",
        "  --lr  (or --learning_rate)",
        "      the rate [0.1]",
    ]


# ---- before a long run ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", catalogue.FIGURES)
def test_a_full_run_says_how_long_it_takes_and_what_is_quicker(name):
    figure = catalogue.module(name)
    config = figure.Config(**options.preset(figure.Config, "paper"))
    first, *rest = notice.of_full_run(figure, name, config, "paper", "/nowhere")
    assert re.search(r"--preset=paper \(as it stands: .*(minute|hour|second)", first)
    takes = re.search(r"minute|hour", first)
    assert not takes or "a minute)" in first or any("--preset=quick" in line for line in rest)
    for dataset in getattr(config, "datasets", ()):
        assert any(dataset in line for line in rest)
    assert notice.of_full_run(figure, name, config, "quick", None) == []


def test_a_download_is_announced_with_its_size(tmp_path):
    assert data.needs("digits", tmp_path) == "digits, embedded"
    assert data.needs(("cifar10", "cifar10"), tmp_path) == (
        f"cifar10, downloaded first (about 170 MB, to {tmp_path})"
    )
    (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
    (tmp_path / "mnist" / "3.0.1" / "dataset_info.json").write_text("{}")
    assert data.needs("mnist", tmp_path) == f"mnist, in {tmp_path}"


# ---- output that cannot be written ------------------------------------------------------------------

full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")


@full
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("program", [["reproductions"], ["reproductions.fig6_swa", "--help"]])
def test_output_to_a_full_device_is_said_to_be_that(program, unbuffered):
    with open("/dev/full", "w") as device:
        run = subprocess.run(
            [sys.executable, "-m", *program],
            cwd=ROOT,
            stdout=device,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    name = program[0].rpartition(".")[2]
    words = f"{name}: cannot write to standard output: No space left on device\n"
    assert (run.returncode, run.stderr) == (1, words)


SAYS = """
from reproductions.bench import runs
from reproductions.bench.errors import UsageError, say
from reproductions.bench import progress

def work(argv):
    say("a word")
    for _ in progress.bar(iterable=range(3)):
        pass
    print("a result")
    if argv:
        raise UsageError("refused")
    return 0

runs.program("works", work, {given})
"""


@full
@pytest.mark.parametrize("stderr", [">/dev/full", ">&-"], ids=["full", "closed"])
@pytest.mark.parametrize(("given", "status"), [([], 0), (["x"], 2)])
def test_a_run_goes_on_where_nobody_can_be_told_how_far_it_is(stderr, given, status):
    shell = ["sh", "-c", f'exec "$0" -c "$1" 2{stderr}', sys.executable, SAYS.format(given=given)]
    run = subprocess.run(shell, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert (run.returncode, run.stdout) == (status, "a result\n")


def test_a_standard_error_that_works_is_left_as_it_was(capsys):
    stream = sys.stderr
    with output.unheard():
        assert sys.stderr.isatty() is False  # what it knows of the stream
        print("a word", file=sys.stderr)
    assert sys.stderr is stream and capsys.readouterr().err == "a word\n"


def test_output_that_nobody_reads_ends_in_silence():
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run(
        [sys.executable, "-m", "reproductions"], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE
    )
    os.close(writer)
    assert (run.returncode, run.stderr) == (141, b"")


@options.settings
class Config(options.Config):
    n: int = options.option("a number", paper=3)


def figure(measure=lambda config: {"x": np.ones(1)}):
    """A figure with one claim, which holds, that needs nothing to be drawn."""
    picture = types.SimpleNamespace(
        savefig=lambda file, **how: file.write(b"a picture"),
        get_figwidth=lambda: 5,
        supxlabel=lambda text, fontsize: None,
    )
    return types.SimpleNamespace(
        __doc__="A figure.\n\n    python -m reproductions.toy --preset=quick    a minute\n",
        __file__="toy.py",
        Config=Config,
        measure=measure,
        plot=lambda arrays, config: picture,
        claims=lambda arrays, config: [Claim("toy.one", "it is", "nobody", 1.0, ">", 0.0)],
        summary=lambda arrays, config: {"x": [1.0]},
    )


def test_a_finished_run_shows_its_claims_where_nothing_can_be_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(marks, "of", lambda *functions: "mark")
    command = ["--preset=smoke", f"--out_dir={tmp_path}"]
    assert runs.run(figure(), command) == 0
    assert "toy.one" in capsys.readouterr().out

    def read_only(fd):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "fsync", read_only)
    with pytest.raises(UsageError, match="figure.png: Read-only file system"):
        runs.run(figure(), command)
    shown = capsys.readouterr().out
    assert "toy.one" in shown and re.search("1 of 1 claims? hold", shown)


WOULD_DO = {
    errno.EROFS: "a folder that can be written to",
    errno.EACCES: "a folder that can be written to",
    errno.ENOSPC: "a folder with room",
    errno.EDQUOT: "a folder with room",
}


def fails(number):
    """What a disk does that is full, or read-only."""

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", WOULD_DO, ids=errno.errorcode.get)
def test_a_folder_that_cannot_be_written_to_is_said_before_the_measurement(
    number, tmp_path, monkeypatch
):
    monkeypatch.setattr(marks, "of", lambda *functions: "mark")
    monkeypatch.setattr("tempfile.TemporaryFile", fails(number))
    out = tmp_path / "new" / "runs"
    words = f"--out_dir={out}: cannot write there ({os.strerror(number)}); name {WOULD_DO[number]}."
    with pytest.raises(UsageError) as error:
        runs.run(figure(lambda config: pytest.fail("measured")), ["--preset=smoke", f"--out_dir={out}"])
    assert str(error.value) == words and list(tmp_path.iterdir()) == []


@full
def test_a_full_disk_has_room_for_a_name_and_for_nothing_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.TemporaryFile", lambda dir: io.FileIO("/dev/full", "w"))
    with pytest.raises(UsageError, match="No space left on device.; name a folder with room"):
        runs.can_write(tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", WOULD_DO, ids=errno.errorcode.get)
def test_a_disk_that_fills_or_locks_in_a_run_is_one_line_that_asks_for_what_would_do(
    number, tmp_path, monkeypatch, capsys
):
    def work(argv):
        store.write_json(tmp_path / "x.json", {})

    monkeypatch.setattr(os, "fsync", fails(number))
    with pytest.raises(SystemExit) as end:
        runs.program("toy", work, [])
    assert end.value.code == 2 and capsys.readouterr().err == (
        f"toy: cannot write {tmp_path / 'x.json'}: {os.strerror(number)}; point --out_dir at "
        f"{WOULD_DO[number]}.\n"
    )


# ---- Ctrl-C -----------------------------------------------------------------------------------------

WORKERS = '''
"""A figure."""

import functools, pathlib, sys, time
from reproductions.bench import devices, marks, options, parallel, runs, workplace
from wedges import archive

# No TensorFlow: a worker of this program only writes a large file, slowly.
devices.start = lambda place: place

@options.settings
class Config(options.Config):
    pass

def write(folder, i):
    with archive.replacing(pathlib.Path(folder) / f"{i}.npz") as file:
        for _ in range(600):
            file.write(b"some of it")
            time.sleep(0.1)

def measure(config):
    folder = workplace.current().checkpoints
    folder.mkdir(parents=True)
    parallel.over(functools.partial(write, str(folder)), range(4))

if __name__ == "__main__":
    import slow
    marks.of = lambda *functions: "mark"
    runs.program("slow", lambda argv: runs.run(slow, argv), sys.argv[1:])
'''


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C reaches a group of processes elsewhere otherwise")
@pytest.mark.parametrize("whole_group", [True, False])
def test_an_interrupt_with_several_jobs_is_one_line_and_leaves_no_part_of_a_file(tmp_path, whole_group):
    """To all processes, as from a terminal's Ctrl-C while workers start; or to the first one alone, in
    the middle of a file."""
    (tmp_path / "slow.py").write_text(WORKERS)
    process = subprocess.Popen(
        [sys.executable, "slow.py", "--preset=smoke", "--jobs=2", "--out_dir=runs"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    begun = "config.json" if whole_group else ".*.tmp"
    until = time.monotonic() + 200
    while not list((tmp_path / "runs").rglob(begun)):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    time.sleep(0.3)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 130
    assert said == "slow: interrupted; the same command continues from here.\n"
    assert not list(tmp_path.rglob("*.tmp"))


# ---- python -m reproductions ------------------------------------------------------------------------


def program(*arguments):
    command = [sys.executable, "-m", "reproductions", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_program_is_run_by_its_name():
    named = program("FIG6_swa", "--lr=none")
    assert (named.returncode, named.stdout) == (2, "")
    assert named.stderr == "fig6_swa: --lr=none: must be a number or several with commas.\n"


@pytest.mark.parametrize(
    ("name", "meant"),
    [("fig6", " Did you mean fig6_swa?"), ("toy_cat", " Did you mean toy_cut"), ("x", "")],
)
def test_a_program_that_there_is_none_of_is_told_which_was_meant(name, meant):
    wrong = program(name)
    assert (wrong.returncode, wrong.stdout) == (2, "") and wrong.stderr.count("\n") == 1
    assert wrong.stderr.startswith(f"reproductions: there is no program '{name}'.{meant}")
    assert wrong.stderr.endswith("python -m reproductions lists all.\n")


# ---- a script of one's own --------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "level"), [(None, "2"), ("0", "0")])
def test_importing_wedges_asks_tensorflow_for_warnings_only_unless_told_otherwise(given, level):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    environment |= {} if given is None else {"TF_CPP_MIN_LOG_LEVEL": given}
    code = (
        "import os, sys, wedges; print(os.environ['TF_CPP_MIN_LOG_LEVEL'], 'tensorflow' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == [level, "False"]
