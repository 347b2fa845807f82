import io

import numpy as np

from wedges import plots


def test_a_curve_is_the_mean_over_seeds_with_a_band_of_one_deviation():
    figure, axes = plots.grid(1, 2, title="two panels")
    values = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 5.0]])
    plots.curve(axes[0, 0], [0, 1, 2], values, color=plots.BLUE, label="both")
    (line,) = axes[0, 0].lines
    np.testing.assert_allclose(line.get_ydata(), [2.0, 2.0, 4.0])
    band = axes[0, 0].collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == 4.0 + np.sqrt(2) and band.min() == 2.0 - np.sqrt(2)
    plots.curve(axes[0, 1], [0, 1, 2], values[:1], color=plots.BLUE, label="one")
    assert not axes[0, 1].collections  # one seed has no spread


def test_nan_leaves_a_gap_and_the_figure_is_still_drawn():
    figure, axes = plots.grid(1, 1, title="diverged")
    plots.curve(axes[0, 0], [0, 1, 2], [[1.0, np.nan, 2.0]], color=plots.ORANGE, label="loss")
    plots.label_axes(axes[0, 0], title="t", x="x", y="y")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    assert file.getvalue().startswith(b"\x89PNG")


def test_axes_are_labelled_logarithmic_and_marked_where_they_are_told_to_be():
    figure, ((ax, plain),) = plots.grid(1, 2, title="two panels")
    for each in (ax, plain):
        each.plot([1, 20, 300], [1, 2, 3], label="line")
    how = {"title": "t", "x": "x", "y": "y", "log": "x", "ticks": [1, 20, 300], "legend": 7}
    plots.label_axes(ax, **how)
    figure.canvas.draw()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "20", "300"]
    assert not len(ax.get_xticks(minor=True))
    (text,) = ax.get_legend().get_texts()
    assert text.get_text() == "line" and text.get_fontsize() == 7
    plots.label_axes(plain, ticks={1: "one", 300: "many"}, grid=False)
    assert [text.get_text() for text in plain.get_xticklabels()] == ["one", "many"]
    assert plain.get_legend() is None
    assert not any(line.get_visible() for line in plain.get_xgridlines())


# ---- phases over two settings -----------------------------------------------------------------------


def drawn_phases(names, values=None):
    """The axes of a diagram of these names."""
    values = np.zeros(np.shape(names)) if values is None else values
    _, ((ax,),) = plots.grid(1, 1, title="")
    rows, columns = (range(n) for n in np.shape(names))
    plots.phases(ax, values, names, rows=rows, columns=columns, low=0, high=1, label="loss")
    return ax


def test_regions_are_outlined_where_neighbours_have_other_names():
    ax = drawn_phases([["I", "I", "II"], ["III", "III", "II"]])
    ends = {tuple(map(tuple, line.get_xydata().tolist())) for line in ax.lines}
    assert ends == {
        ((1.5, -0.5), (1.5, 0.5)),  # I from II
        ((1.5, 0.5), (1.5, 1.5)),  # III from II
        ((-0.5, 0.5), (0.5, 0.5)),  # I from III
        ((0.5, 0.5), (1.5, 0.5)),
    }


def test_a_region_is_named_once_inside_its_largest_part():
    names = np.full((7, 9), "II")
    names[1:6, 1:6] = "I"
    names[0, 8] = "I"  # a part of one cell
    at = {text.get_text(): text.get_position() for text in drawn_phases(names).texts}
    assert set(at) == {"I", "II"} and at["I"] == (3.0, 3.0)
    j, i = map(int, at["II"])
    assert names[i, j] == "II"


def test_cells_of_no_phase_have_no_name_and_unknown_values_no_colour():
    ax = drawn_phases([["", "I"]], [[np.nan, 0.5]])
    assert [text.get_text() for text in ax.texts] == ["I"]
    assert ax.images[0].get_array().mask.tolist() == [[True, False]]
