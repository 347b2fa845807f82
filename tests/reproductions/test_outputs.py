"""What a run leaves for people: pictures in the formats asked for, series as CSV, claims for LaTeX."""

import csv
import re
import types

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import wedges
from reproductions.bench import catalogue, claims, drawings, marks, options, runs, store, tables
from reproductions.bench.claims import Claim, Reference
from reproductions.bench.errors import UsageError


@options.settings
class Config(options.Config):
    lr: options.Floats = options.option("rates", paper=(0.1, 0.2))
    seeds: int = options.option("repetitions", paper=3)


ARRAYS = {
    "lr": np.array([0.1, 0.2]),
    "accuracy": np.float32([[0.1, 0.2], [0.3, 0.4], [0.5, np.nan]]),
    "loss": np.arange(6.0).reshape(3, 2) / 3,
    "path loss": np.arange(24).reshape(3, 2, 4),
    "alone": np.array(7),
    "found": np.array([True, False]),
}
CLAIMS = [
    Claim("none.rises", "share of |a_1| & 50% of #2, a -> b", "us", 0.25, ">", 0.1),
    Claim("none.falls", "~{x}^2", "us", float("nan"), "<=", 1.5e-7),
]


def draw(arrays, config):
    figure, ((ax,),) = wedges.plots.grid(1, 1, title="A figure")
    wedges.plots.curve(ax, config.lr, arrays["loss"], color=wedges.plots.BLUE, label="loss")
    wedges.plots.label_axes(ax, x="rate", y="loss", legend=8)
    return figure


@pytest.fixture
def figure(monkeypatch):
    """A figure that measures nothing."""
    monkeypatch.setattr(marks, "of", lambda *functions: "code")
    monkeypatch.setattr(runs.devices, "start", lambda place: place)
    return types.SimpleNamespace(
        __doc__="A figure.",
        __file__="toy_none.py",
        Config=Config,
        measure=lambda config: ARRAYS,
        plot=draw,
        claims=lambda arrays, config: CLAIMS,
        summary=lambda arrays, config: {"x": [1.0]},
    )


@pytest.fixture
def run(figure, tmp_path, capsys):
    """run("--format=pdf") -> the run's folder, and what was printed."""

    def with_flags(*flags):
        assert runs.run(figure, [f"--out_dir={tmp_path}", *flags]) == 0
        (folder,) = tmp_path.glob("toy_none/paper-*")
        return folder, capsys.readouterr().out

    return with_flags


def files(folder, suffix="*"):
    return {p.name for p in folder.glob(f"figure.{suffix}")}


# ---- pictures ---------------------------------------------------------------------------------------


def test_a_run_leaves_pictures_series_and_claims_and_plot_only_makes_them_again(run):
    folder, printed = run()
    whole = {"check.json", "claims.tex", "config.json", "figure.png", "results.npz", "series"}
    assert {
        p.name for p in folder.iterdir()
    } == whole and f"figure: {folder / 'figure.png'}\n" in printed
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    for name in ("figure.png", "claims.tex", "check.json"):
        (folder / name).unlink()
    for path in (folder / "series").iterdir():
        path.unlink()
    run("--plot_only")
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_formats_that_are_asked_for_are_made_beside_the_png(run):
    folder, printed = run("--format=pdf,svg")
    assert files(folder) == {"figure.png", "figure.pdf", "figure.svg"}
    assert f"figure: {folder / 'figure.png'}, figure.pdf, figure.svg\n" in printed
    assert (folder / "figure.pdf").read_bytes().startswith(b"%PDF")
    assert "<svg" in (folder / "figure.svg").read_text()


def test_a_file_of_an_earlier_command_is_drawn_again(run):
    folder, _ = run("--format=pdf")
    whole = (folder / "figure.pdf").read_bytes()
    (folder / "figure.pdf").write_bytes(b"of other results")
    run("--plot_only")
    assert (folder / "figure.pdf").read_bytes() == whole and files(folder, "svg") == set()


def test_dots_an_inch_and_the_style_are_those_asked_for(run):
    width = lambda folder: Image.open(folder / "figure.png").size[0]
    usual = width(run()[0])
    assert usual == int(4.2 * 150) and width(run("--plot_only", "--dpi=40")[0]) == int(4.2 * 40)
    assert width(run("--plot_only", "--style=paper")[0]) == int(4.2 * 300)
    assert width(run("--plot_only", "--style=paper", "--dpi=100")[0]) == 420


def test_more_pictures_have_the_same_formats(figure, run):
    figure.more_pictures = lambda arrays, config: {"second": draw(arrays, config)}
    folder, printed = run("--format=PNG,pdf")
    assert {p.name for p in folder.glob("*.pdf")} == {"figure.pdf", "second.pdf"}
    assert f"{folder / 'figure.png'}, second.png, figure.pdf, second.pdf" in printed


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--format=gif", "--format=gif: choose from png, pdf, svg, several with commas"),
        ("--format=", "--format=: choose from png"),
        ("--format=pdf,,", "--format=pdf,,: choose from png"),
        ("--dpi=0", "dpi"),
        ("--dpi=99999", "dpi"),
        ("--style=poster", "style"),
    ],
)
def test_other_formats_are_refused_before_anything_is_measured(figure, flag, words, tmp_path):
    figure.measure = lambda config: pytest.fail("measured")
    with pytest.raises(UsageError, match=re.escape(words)):
        runs.run(figure, [f"--out_dir={tmp_path}", flag])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["figure.pdf", "series/of_3x2.csv", "claims.tex"])
def test_a_disk_that_is_full_leaves_no_half_file_and_no_verdict(run, tmp_path, name, monkeypatch):
    write = store.write_bytes

    def full(path, content):
        def half(file):
            file.write(b"half")
            raise OSError(28, "No space left on device")

        write(path, half if str(path).endswith(name) else content)

    monkeypatch.setattr(store, "write_bytes", full)
    with pytest.raises(UsageError, match="No space left on device; point --out_dir"):
        run("--format=pdf")
    (folder,) = tmp_path.glob("toy_none/paper-*")
    left = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert name not in left and "check.json" not in left and "results.npz" in left
    assert not any(".tmp" in p or b"half" in (folder / p).read_bytes() for p in left)
    monkeypatch.undo()


# ---- series -----------------------------------------------------------------------------------------


def read(folder, name):
    return pandas.read_csv(folder / "series" / f"{name}.csv")


def test_without_axes_arrays_of_one_shape_share_a_table(run):
    folder, _ = run()
    names = {p.name for p in (folder / "series").iterdir()}
    assert names == {"of_2.csv", "of_3x2.csv", "of_3x2x4.csv", "numbers.csv"}
    table = read(folder, "of_3x2")
    assert list(table.columns) == ["axis_0", "axis_1", "accuracy", "loss"] and len(table) == 6
    np.testing.assert_array_equal(table["loss"].to_numpy().reshape(3, 2), ARRAYS["loss"])
    found = table["accuracy"].to_numpy(np.float32).reshape(3, 2)
    np.testing.assert_array_equal(found, ARRAYS["accuracy"])  # NaN too
    assert read(folder, "of_2")["found"].tolist() == [1, 0]
    assert (folder / "series" / "numbers.csv").read_text() == "alone\n7\n"


def test_numbers_have_the_digits_of_their_own_kind(run):
    rows = list(csv.reader((run()[0] / "series" / "of_3x2.csv").open()))
    assert rows[1] == ["0", "0", "0.1", "0.0"] and rows[2][2:] == ["0.2", "0.3333333333333333"]


def test_a_figure_that_names_its_axes_has_named_columns(figure, run):
    places = {"seed": range(3), "lr": (0.1, 0.2)}
    figure.axes = lambda config: {
        "lr": {"lr": config.lr},
        "path *": places | {"point": 4},
        "alone": {},
        "found": {"lr": config.lr},
        "*": places,
    }
    folder, _ = run()
    names = {p.stem for p in (folder / "series").iterdir()}
    assert names == {"lr", "seed_by_lr", "seed_by_lr_by_point", "numbers"}
    assert list(read(folder, "lr").columns) == ["lr", "found"]  # rates are no column of themselves
    table = read(folder, "seed_by_lr_by_point").set_index(["seed", "lr", "point"])["path loss"]
    assert table[2, 0.1, 3] == ARRAYS["path loss"][2, 0, 3] and len(table) == 24


def test_axes_that_do_not_fit_are_an_error_and_a_former_table_goes(figure, run):
    folder, _ = run()
    (folder / "series" / "old.csv").write_text("of other results")
    run("--plot_only")
    assert not (folder / "series" / "old.csv").exists()
    figure.axes = lambda config: {"*": {"seed": 4}}
    with pytest.raises(ValueError, match=r"axes: 'lr' is said to be \(4,\), and is \(2,\)"):
        run("--plot_only")


def test_axes_that_are_not_named_are_counted(figure, run):
    figure.axes = lambda config: {"path *": {"seed": (5, 6, 7)}}
    folder, _ = run()
    table = read(folder, "seed_by_axis_1_by_axis_2")
    assert table["seed"].unique().tolist() == [5, 6, 7] and table["axis_2"].max() == 3


def test_tables_of_the_same_axes_but_other_places_are_told_apart():
    found = tables.grouped(
        {"a d": np.ones(2), "b d": np.ones(2), "c d": np.ones(3)},
        {"a d": {"d": (1, 2)}, "b d": {"d": (1, 3)}, "c d": {"d": 3}},
    )
    assert sorted(found) == ["d_2", "d_2_1", "d_3"]
    more = tables.grouped({"a": np.ones(2), "b": np.ones((2, 3))}, {"*": {"seed": 2}})
    assert sorted(more) == ["seed", "seed_by_axis_1"]
    assert {tuple(arrays) for _, arrays in found.values()} == {("a d",), ("b d",), ("c d",)}


def test_a_grid_for_a_computer_is_left_to_results_and_it_is_said(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(tables, "say", said.append)
    monkeypatch.setattr(tables, "MOST", 10)
    assert tables.save_series(tmp_path, {"large": np.ones(11), "small": np.ones(10)}, {}) == ["large"]
    assert [p.name for p in (tmp_path / "series").iterdir()] == ["of_10.csv"]
    assert said == ["not in series/, of more than 10 numbers (results.npz has them): large"]


WITH_AXES = [name for name in catalogue.FIGURES if hasattr(catalogue.module(name), "axes")]


@pytest.mark.parametrize("name", WITH_AXES)
def test_a_figures_axes_name_arrays_that_there_are(name, smoke):
    """That they fit is checked in every run."""
    done = smoke(name)
    for pattern in done.module.axes(done.config):
        assert any(tables.fnmatch.fnmatchcase(array, pattern) for array in done.arrays), pattern
    columns = [set(pandas.read_csv(p).columns) for p in (done.directory / "series").iterdir()]
    held = set.union(*columns)
    assert set(done.arrays) <= held and len(WITH_AXES) >= 5


# ---- claims, for LaTeX ------------------------------------------------------------------------------


def test_the_claims_are_a_table_for_latex(run):
    text = (run()[0] / "claims.tex").read_text()
    assert text.splitlines()[0].startswith("% python -m reproductions.toy_none")
    assert r"\begin{tabular}" in text and r"\toprule" in text and text.endswith("\\end{tabular}\n")
    statement = r"share of \textbar{}a\_1\textbar{} \& 50\% of \#2, a -\textgreater{} b"
    assert f"{statement} & $0.25$ & $> 0.1$ & holds \\\\" in text
    falls = r"\textasciitilde{}\{x\}\textasciicircum{}2"
    assert f"{falls} & none & $\\le 1.5 \\times 10^{{-7}}$ & not measurable \\\\" in text


def printed(tex):
    """What LaTeX prints for a text of ours; an error for a special character that means something."""
    found, known = [], {value: key for key, value in tables._SPECIAL.items() if value[0] in "\\$"}
    while tex:
        token = max((v for v in known if tex.startswith(v)), key=len, default=None)
        if token is None:
            assert tex[0] not in '\\{}$&#%_~^<>|"\n', tex
            token, letter = tex[0], tex[0]
        else:
            letter = known[token]
        found.append(letter)
        tex = tex[len(token) :]
    return "".join(found)


@given(st.text(st.sampled_from("\\{}$&#%_~^<>|\"²λ ab1.-'")))
def test_latex_prints_a_text_as_it_is(text):
    assert printed(tables.latex_text(text)) == " ".join(text.split())


def test_a_run_without_claims_says_so_in_its_table():
    assert "No claim is made about this run" in tables.latex([], "a\nb")
    assert tables.latex([], "a\nb").startswith("% a b\n")


def test_the_styles_and_formats_of_the_flags_are_those_there_are():
    for style in drawings.STYLES:
        with drawings.style(style) as look:
            assert look.dpi in (150, 300)
    assert drawings.formats("svg, PDF") == ["svg", "pdf"]


def test_beside_the_numbers_of_a_paper_preset_its_pictures_are_kept_small(figure, tmp_path, monkeypatch):
    kept = tmp_path / "reference"
    kept.mkdir()
    monkeypatch.setattr(runs.claims_module, "Reference", lambda name, *_: Reference(name, kept))
    more = lambda arrays, config: {"by_depth": figure.plot(arrays, config)}
    monkeypatch.setattr(figure, "more_pictures", more, raising=False)
    screen, paper = ("--style=screen",), ("--style=paper", "--dpi=400")
    for preset, look, names in (
        ("smoke", screen, []),
        ("paper", screen, ["toy_none.png", "toy_none_by_depth.png"]),
        ("paper", paper, ["toy_none.png", "toy_none_by_depth.png"]),
    ):
        command = [f"--preset={preset}", f"--out_dir={tmp_path / look[0]}", "--write_reference"]
        assert runs.run(figure, [*command, *look]) == 0
        assert sorted(path.name for path in kept.glob("*.png")) == names
    # As pages show it, whatever the run's own files look like.
    (whole,) = tmp_path.glob("--style=screen/toy_none/paper-*/figure.png")
    small, large = Image.open(kept / "toy_none.png"), Image.open(whole)
    assert small.mode == "P" and small.size == large.size
    off = np.abs(np.asarray(small.convert("RGB"), float) - np.asarray(large.convert("RGB"), float))
    assert off.mean() < 1 and (kept / "toy_none.png").stat().st_size < whole.stat().st_size


def noisy():
    """A figure of many colours."""
    figure, ((ax,),) = wedges.plots.grid(1, 1, title="noise", panel=(3, 3))
    ax.imshow(np.random.default_rng(0).random((300, 300, 3)))
    return figure


@pytest.mark.parametrize(("largest", "colors"), [(1e9, 256), (0, 32)])
def test_a_picture_beside_a_page_has_fewer_colours_where_it_would_be_too_large(
    tmp_path, monkeypatch, largest, colors
):
    monkeypatch.setattr(drawings, "_LARGEST", largest)
    drawings.keep(tmp_path / "fig.md", {"figure": noisy()})
    with Image.open(tmp_path / "fig.png") as image:
        assert colors // 2 < len(image.getcolors()) <= colors


def test_pictures_beside_pages_are_small():
    sizes = {path.name: path.stat().st_size for path in claims.REFERENCE.glob("*.png")}
    assert {name: size for name, size in sizes.items() if size > 300_000} == {}
