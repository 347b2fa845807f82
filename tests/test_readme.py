"""What the README and the user guide show a reader runs as it stands there."""

import json
import pathlib
import re

import keras
import numpy as np
import pytest
from keras import layers

import wedges
from tests.conftest import SPARSE, plain

HERE = pathlib.Path(__file__).parent.parent
README, GUIDE = ((HERE / name).read_text() for name in ("README.md", "docs/guide.md"))


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_there_are_two_numbered_commands_of_one_line_each():
    numbered = [b.strip().splitlines() for b in blocks("bash") if re.match(r"# \d\.", b)]
    assert [b[0][:4] for b in numbered] == ["# 1.", "# 2."] and all(len(b) == 2 for b in numbered)
    assert "fig6_swa --preset=quick" in numbered[0][1] and "-m pytest" in numbered[1][1]


def regression():
    hidden = layers.Dense(48, activation="tanh")
    return keras.Sequential([keras.Input((6,)), hidden, layers.BatchNormalization(), layers.Dense(1)])


def tokens():
    """A class for each of five words."""
    words = layers.Embedding(7, 4)
    return keras.Sequential(
        [keras.Input((5,)), words, layers.GRU(8, return_sequences=True), layers.Dense(7)]
    )


def examples(kind, images):
    """A reader's model, its loss, and 53 examples for it."""
    rng = np.random.default_rng(0)
    x, words = rng.standard_normal((53, 6)).astype("float32"), rng.integers(0, 7, (53, 5))
    return {
        "classes": (plain, SPARSE, *images),
        "regression": (regression, "mse", x, x[:, 0] * x[:, 1]),
        "tokens": (tokens, SPARSE, words, words),
    }[kind]


def test_there_are_nine_blocks_of_python_in_the_guide_and_one_in_the_readme():
    assert len(blocks("python", GUIDE)) == 9 and len(blocks("python")) == 1


def test_the_readme_fits_on_two_screens():
    assert len(README.splitlines()) <= 110 and len(README.split()) <= 1100


def test_the_readme_s_table_is_that_of_the_recorded_verdicts():
    from reproductions.bench import catalogue

    row = r"^\| \[`(\w+)`\]\(reproductions/reference/(\w+)\.md\) \| [^|]+ \| ([^|]+) \| [^|]+ \|$"
    found = re.findall(row, README, re.MULTILINE)
    assert [name for name, *_ in found] == list(catalogue.FIGURES)
    for name, page, said in found:
        recorded = json.loads((HERE / f"reproductions/reference/{name}.json").read_text()).get("paper")
        verdicts = recorded["verdicts"].values() if recorded else ()
        told = f"{sum(verdicts)} of {len(verdicts)}" if recorded else "not run yet"
        assert page == name and said == told, name


def test_the_readme_s_example_runs_on_two_compiled_models(images, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model_a, model_b = plain(), plain()
    x, y = images
    for model in (model_a, model_b):
        model.compile("adam", SPARSE)
    names = {"model_a": model_a, "model_b": model_b, "x": x, "y": y}
    (code,) = blocks("python")
    code = code.replace("800", "20").replace("curve.path)\nlosses", "curve.path, steps=9)\nlosses")
    exec(compile(code, "README.md", "exec"), names)
    assert [path.name for path in tmp_path.iterdir()] == ["two_networks.png"]
    assert "barrier on the line" in capsys.readouterr().out
    assert names["losses"].shape == (len(names["up"]), len(names["side"]))
    assert [t.get_text() for t in names["figure"].axes[0].get_legend().get_texts()][0] == "line"


@pytest.mark.parametrize(
    "kind",
    [
        "classes",
        pytest.param("regression", marks=pytest.mark.slow),
        pytest.param("tokens", marks=pytest.mark.slow),
    ],
)
def test_the_library_examples_run_on_a_readers_model(kind, images, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build, loss, x, y = examples(kind, images)
    model, model_a, model_b = build(), build(), build()
    model.compile("adam", loss)
    names = {"model": model, "loss": loss, "x": x, "y": y, "x_test": x, "y_test": y}
    names |= {"model_a": model_a, "model_b": model_b}
    for code in blocks("python", GUIDE):
        exec(compile(code, "guide.md", "exec"), names)
    said = capsys.readouterr().out
    assert "barrier" in said and ("accuracy at the mean None" in said) == (kind == "regression")
    assert np.isfinite(names["losses"]).all()
    assert {p.name for p in tmp_path.iterdir()} == {"tunnel.png", "tunnel.npz", "cut.png"}
    assert np.array_equal(names["tunnel"].path[-1], wedges.WeightSpace(model_b).read())
    assert names["swa"].average.count == 20 and len(names["snapshots"].members) == 6


@pytest.mark.parametrize("text", [README, GUIDE], ids=["readme", "guide"])
def test_every_program_and_flag_it_names_exists(text):
    from reproductions.bench import catalogue, flags, options

    named = re.findall(r"-m reproductions\.(\w+)((?: +--\w+(?:=\S+)?)*)", text)
    assert named and any("--" in given for _, given in named)
    shared = set(flags.SHARED)
    for program, given in named:
        if program in catalogue.PROGRAMS:
            known = shared | {"only", "output"}
        else:
            config = catalogue.module(program).Config
            own = {o.name for o in options.options(config)}
            known = shared | own | {options.flag(config, name) for name in own}
        assert set(re.findall(r"--(\w+)", given)) <= known, program
    # Flags in running text, e.g. `--hyperparameter=lr` of figure 5.
    everyones = {o.name for f in catalogue.FIGURES for o in options.options(catalogue.module(f).Config)}
    assert set(re.findall(r"`--(\w+)", text)) <= shared | everyones | {"only", "output"}


def test_each_check_of_ci_stands_in_a_line_of_its_own():
    """With set -e a command that fails ends the script, but not one that && joins to the next."""
    script = (HERE / ".ci/run").read_text()
    checks = [line for line in script.splitlines() if line.startswith(".venv/bin/")]
    assert "set -euo pipefail" in script and len(checks) >= 5
    assert not [line for line in checks if "&&" in line or "||" in line]
