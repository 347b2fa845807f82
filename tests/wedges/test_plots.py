import io
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.text import Text
from PIL import Image
from skimage.color import deltaE_cie76, rgb2lab

from wedges import plots
from wedges.plots import looks, panels


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
    how = {"title": "t", "x": "x", "y": "y", "log": "x", "ticks": [1, 20, 300], "legend": 11}
    plots.label_axes(ax, **how)
    figure.draw_without_rendering()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "20", "300"]
    assert not len(ax.get_xticks(minor=True))
    (text,) = ax.get_legend().get_texts()
    assert text.get_text() == "line" and text.get_fontsize() == 11
    plots.label_axes(plain, ticks={1: "one", 300: "many"}, grid=False)
    assert [text.get_text() for text in plain.get_xticklabels()] == ["one", "many"]
    assert plain.get_legend() is None
    assert not any(line.get_visible() for line in plain.get_xgridlines())


# ---- ranges and ticks ------------------------------------------------------------------------------


def drawn(x, values, **how):
    """The axes of one line, labelled and drawn."""
    figure, ((ax,),) = plots.grid(1, 1, title="one line")
    plots.curve(ax, x, [values], color=plots.BLUE, label="line")
    plots.label_axes(ax, **{"x": "cycle", "y": "test accuracy (%)", **how})
    figure.draw_without_rendering()
    return ax


def shown(axis):
    """{place: text} of an axis' labels that are in the picture."""
    low, high = sorted(axis.get_view_interval())
    ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
    return {place: text.get_text() for place, text in ticks if low <= place <= high}


def test_accuracies_that_are_equal_but_for_rounding_look_equal():
    """Three of float32's numbers next to 359 of 360 in percent: once the whole height of the picture."""
    accuracy = np.float32([99.72222, np.nextafter(np.float32(99.72222), 100), 99.72222])
    assert 0 < np.ptp(accuracy) < 1e-4
    ax = drawn([1, 2, 3], accuracy)
    low, high = ax.get_ylim()
    assert high - low >= 1 and low < 99.72 < high
    assert ax.yaxis.get_offset_text().get_text() == ""
    labels = shown(ax.yaxis)
    assert len(labels) >= 2 and all(float(text) == pytest.approx(y) for y, text in labels.items())


def test_small_numbers_have_a_small_range_and_large_ones_no_offset():
    ax = drawn([0.5, 1.5], [1e-4, 3e-4], y="loss (nats)")
    low, high = ax.get_ylim()
    assert 2e-4 <= high - low < 1e-3
    ax = drawn([0.5, 1.5], [20_000.25, 20_000.5], y="loss (nats)")
    low, high = ax.get_ylim()
    assert high - low >= 20  # a thousandth
    assert all(float(text) == pytest.approx(y) for y, text in shown(ax.yaxis).items())
    low, high = drawn([0.5, 1.5], [20_000.25, 20_000.5], y="loss (nats)", span=0).get_ylim()
    assert high - low < 1


def test_the_shortest_range_holds_for_what_is_drawn_later_and_gives_way_to_a_limit():
    ax = drawn([1, 2], [90.0, 90.0])
    assert ax.get_ylim() == pytest.approx((89.5, 90.5), abs=0.06)
    ax.axhline(80.0)
    assert ax.get_ylim()[0] < 80
    ax.set_ylim(89.9, 90.1)
    ax.figure.draw_without_rendering()
    assert ax.get_ylim() == (89.9, 90.1)


@pytest.mark.parametrize("count", [2, 3, 4, 12, 100])
def test_ticks_of_whole_numbers_are_whole(count):
    labels = shown(drawn(np.arange(1, count + 1), np.zeros(count)).xaxis)
    assert labels and all(text == str(round(place)) == f"{place:g}" for place, text in labels.items())


def test_ticks_between_whole_numbers_stay_where_some_x_is_none():
    figure, ((ax,),) = plots.grid(1, 1, title="two lines")
    ax.axhline(1.0)  # its x are shares of the picture, no numbers along x
    ax.plot([0.1, 0.2, 0.7], [1, 2, 3])
    ax.plot([0, 1], [1, 2])
    plots.label_axes(ax, x="share")
    figure.draw_without_rendering()
    assert any(place % 1 for place in shown(ax.xaxis))


def test_a_logarithmic_axis_of_less_than_a_decade_has_plain_numbers():
    ax = drawn([1, 2], [0.3, 0.7], y="share", log="y")
    texts = [text.get_text() for text in ax.yaxis.get_minorticklabels()]
    assert {"0.3", "0.4"} <= set(texts) and not any("10^" in text for text in texts)
    ax = drawn([1, 2], [1e-7, 1e7], y="share", log="y")
    assert any("10^{" in text for text in shown(ax.yaxis).values())


# ---- letters, sizes, styles --------------------------------------------------------------------------


def letters(figure):
    """The sizes of all texts of a figure, in points."""
    figure.draw_without_rendering()
    texts = figure.findobj(lambda a: isinstance(a, Text) and a.get_visible() and a.get_text().strip())
    return [text.get_fontsize() for text in texts]


@pytest.mark.parametrize(("name", "width"), [("screen", 8.65), ("paper", 6.75)])
@pytest.mark.parametrize("columns", [1, 2, 3, 4])
def test_letters_have_8_points_at_the_size_shown(name, width, columns):
    """A README shows 830 pixels, 96 an inch; a paper two columns."""
    with plots.style(name):
        figure, axes = plots.grid(2, columns, title="A finding\nits conditions", panel=(4.6, 3.4))
        for ax in axes.flat:
            plots.curve(ax, [1, 2], np.ones((2, 2)), color=plots.BLUE, label="a line")
            plots.label_axes(ax, title="a panel", x="x", y="y", legend=5)
        plots.matrix(axes[0, 0], np.eye(3), low=-1, high=1, label="cosine")
        assert figure.get_figwidth() <= width and min(letters(figure)) >= 8


def test_a_style_ends_with_its_block():
    before = looks.current()
    with plots.style("paper") as paper:
        figure, _ = plots.grid(1, 4, title="four")
        assert (figure.get_figwidth(), figure.dpi) == (6.75, 300) and looks.current() == paper
    assert looks.current() == before != paper
    with pytest.raises(ZeroDivisionError), plots.style("paper"):
        raise ZeroDivisionError
    assert looks.current() == before
    message = "name must be 'screen' or 'paper'; received 'poster'"
    with pytest.raises(ValueError, match=message), plots.style("poster"):
        pass


def test_the_finding_comes_first_and_long_words_are_wrapped():
    long = "A finding that takes more room than there is over one panel of this width and goes on"
    figure, ((ax,),) = plots.grid(1, 1, title=f"{long}\nconditions of it")
    (below,) = [a for a in figure.artists if isinstance(a, Text)]
    above = figure._suptitle.get_text()
    assert above.split() == long.split() and "\n" in above.strip()
    assert below.get_text() == "conditions of it" and figure._suptitle.get_fontweight() == "bold"
    assert figure.get_suptitle() == f"{long}\nconditions of it"
    plots.label_axes(ax, title=long, x=long)
    figure.draw_without_rendering()
    for text in (ax.title, ax.xaxis.label, figure._suptitle, below):
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width, text.get_text()


def test_lines_of_a_wrapped_text_are_of_about_one_length():
    assert looks.wrapped("one two three four", 100, 9) == "one two three four"
    assert looks.wrapped("own\nlines stay", 100, 9) == "own\nlines stay"
    # 20 letters fit: not "a first part and an" over "end".
    assert (
        looks.wrapped("a first part and an end", 20.5 * 0.53 * 9 / 72, 9) == "a first part\nand an end"
    )
    # Wide letters: 20 of them take 24.7 times their mean width, so not "MMMMM MMMMM MMMMM" in a line.
    assert looks.wrapped("MMMMM MMMMM MMMMM", 20.5 * 0.53 * 9 / 72, 9).count("\n") == 1
    # An equation is one word: not "(m" over "= 2)".
    found = looks.wrapped("of a star (m = 2); there", 14.5 * 0.53 * 9 / 72, 9)
    assert found == "of a star\n(m = 2); there"
    long = "unbreakable" * 5
    assert "".join(looks.wrapped(f"{long} x", 1, 9).split()) == f"{long}x"


def test_a_title_over_a_panel_that_long_labels_have_pushed_aside_is_not_cut_off():
    figure, ((one, two),) = plots.grid(1, 2, title="panels")
    for ax in (one, two):
        ax.barh(["a very long name of a row, for all that", "another"], [1, 2])
        plots.label_axes(
            ax, title="A title that is about as wide as a panel with all of its labels, and more"
        )
    figure.draw_without_rendering()
    box = two.title.get_window_extent()
    assert two.title.get_position()[0] < 0.5 and box.x1 <= figure.bbox.width
    two.set_yticks([])  # room again: the title is where it was
    figure.draw_without_rendering()
    assert two.title.get_position()[0] == pytest.approx(0.5)
    one.set_title("own", x=0.3)
    figure.draw_without_rendering()
    assert one.title.get_position()[0] == 0.3


@pytest.mark.parametrize(("name", "columns"), [("screen", 3), ("screen", 4), ("paper", 3)])
def test_no_title_or_label_is_cut_off(name, columns):
    """matplotlib makes no room beside an axes for titles that are wider."""
    with plots.style(name):
        figure, axes = plots.grid(2, columns, title="panels")
    for ax in axes.flat:
        ax.plot([0, 0.001], [0.99, 1])
        words = {"title": "labels agree 88%, distance 38.7, barrier 0.114", "y": "training loss (nats)"}
        plots.label_axes(ax, x="from one snapshot (0) to the next (1), at even distances", **words)
    figure.draw_without_rendering()
    for text in (text for ax in axes.flat for text in (ax.title, ax.xaxis.label, ax.yaxis.label)):
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width, text.get_text()
    for left, right in zip(axes[0], axes[0, 1:], strict=False):
        assert left.title.get_window_extent().x1 < right.title.get_window_extent().x0


def test_a_finding_of_two_lines_is_one_finding_and_a_new_title_replaces_the_old():
    figure, _ = plots.grid(1, 2, title="It holds in 3 of 4,\nand in 2 of 5\nunder conditions")
    below = lambda: [a.get_text() for a in figure.artists if isinstance(a, Text)]
    assert figure._suptitle.get_text().split("\n")[:2] == ["It holds in 3 of 4,", "and in 2 of 5"]
    assert below() == ["under conditions"]
    figure.suptitle("Another finding\nothers")
    assert below() == ["others"] and figure.get_suptitle() == "Another finding\nothers"


def test_a_legend_that_would_cover_its_panel_stands_below_it():
    names = ["the first of three long names", "the second of three long names", "the third"]
    for columns, inside in ((1, True), (4, False)):
        figure, axes = plots.grid(1, columns, title="panels", panel=(4.2, 2.4))
        for name in names:
            axes[0, 0].plot([1, 2], [1, 1], label=name)
        plots.label_axes(axes[0, 0], x="x", y="y", legend=8)
        figure.draw_without_rendering()
        legend = axes[0, 0].get_legend().get_window_extent()
        label = axes[0, 0].xaxis.label.get_window_extent()
        assert (legend.y0 > axes[0, 0].bbox.y0) == inside
        assert (legend.y1 <= label.y0 + 1) == (not inside) and legend.y0 >= 0


def test_a_legend_that_would_lie_on_a_line_stands_below_in_columns():
    for lines, inside in ((1, True), (9, False)):  # nine level lines leave no free place of its size
        figure, ((ax,),) = plots.grid(1, 1, title="panels", panel=(6, 3))
        for i in range(lines):
            ax.plot([0, 1], [i, i + 0.5], label=f"line {i}")
        plots.label_axes(ax, x="x", y="y", legend=8)
        figure.draw_without_rendering()
        legend = ax.get_legend().get_window_extent()
        assert (legend.y0 > ax.bbox.y0) == inside and legend.y0 >= 0
        texts = [text.get_window_extent() for text in ax.get_legend().get_texts()]
        assert len({round(box.x0) for box in texts}) == (1 if inside else 5)  # columns
        assert max(box.x1 for box in texts) <= figure.bbox.x1


def test_a_legend_that_would_lie_on_a_band_stands_below():
    for low, inside in ((1.0, True), (0.1, False)):  # no band, or one over nearly all of the panel
        figure, ((ax,),) = plots.grid(1, 1, title="a panel", panel=(4, 3))
        ax.fill_between([0, 1], [low, low], [1.1, 1.1], alpha=0.2)
        ax.plot([0, 1], [0, 0], label="a line below the band")
        ax.set(xlim=(0, 1), ylim=(0, 0.95))
        plots.label_axes(ax, x="x", y="y", legend=8)
        figure.draw_without_rendering()
        assert (ax.get_legend().get_window_extent().y0 > ax.bbox.y0) == inside


def test_panels_of_a_mosaic_are_as_wide_as_their_shares():
    figure, ((wide, narrow),) = plots.grid(1, 2, title="two panels", panel=(4, 3))
    wide.get_gridspec().set_width_ratios([3, 1])
    title = "a title of some words that fits into one line of a wide panel"
    for ax in (wide, narrow):
        plots.label_axes(ax, title=title)
    assert wide.get_title() == title and narrow.get_title().count("\n") >= 3


def test_a_legend_does_not_lie_on_bars_and_stands_below_a_label_of_two_lines():
    for bars, inside in ((2, True), (5, False)):
        figure, ((ax,),) = plots.grid(1, 1, title="panels", panel=(4, 3))
        ax.barh(range(bars), 1, 1, label="a bar")
        ax.axvspan(0.2, 0.8, label="a shaded range")
        ax.set(xlim=(0, 1), ylim=(-0.5, 4.5))
        plots.label_axes(ax, x="a label\nof two lines", y="y", legend=8)
        figure.draw_without_rendering()
        legend, label = ax.get_legend().get_window_extent(), ax.xaxis.label.get_window_extent()
        assert (legend.y0 > ax.bbox.y0) == inside
        assert inside or legend.y1 <= label.y0 + 1
        assert ax.get_in_layout()


def test_formulas_are_as_long_as_they_are_drawn_and_are_not_broken():
    long = r"$\mathrm{tr}\,H / \lambda_{\max}$ of it"
    assert looks.wrapped(long, 1.2, 9) == long
    assert looks.wrapped(r"the $\sum_k p_k(1-p_k)$", 0.5, 9) == "the\n" + r"$\sum_k p_k(1-p_k)$"


@settings(deadline=None)
@given(
    ends=st.lists(st.floats(-3, 3), min_size=1, max_size=7),
    tall=st.lists(st.floats(0.02, 0.14), min_size=7, max_size=7),
)
def test_places_are_moved_apart_by_as_little_as_they_can(ends, tall):
    ends, high = np.array(ends), np.array(tall[: len(ends)])
    found = panels._apart(ends, high)
    order = np.argsort(ends, kind="stable")
    assert (np.diff(found[order]) >= (high[order][1:] + high[order][:-1]) / 2 - 1e-9).all()
    assert (found - high / 2 >= -1e-9).all() and (found + high / 2 <= 1 + 1e-9).all()
    # Nearer to them is none of many others that are allowed: the sum of squares is convex.
    rng = np.random.default_rng(0)
    below = np.cumsum(high[order]) - high[order] / 2
    for _ in range(20):
        other = np.sort(rng.uniform(0, 1 - high.sum(), len(ends))) + below
        assert np.square(found - ends).sum() <= np.square(other - ends[order]).sum() + 1e-9


def test_lines_are_named_at_their_ends_in_their_colours():
    figure, ((ax,),) = plots.grid(1, 1, title="lines", panel=(5, 3))
    x = [1.0, 2.0, 3.0]
    ax.plot(x, [1, 5, np.nan], color=plots.BLUE, label="ends early")
    ax.errorbar(x, [1, 2, 10], [0.1] * 3, color=plots.ORANGE, label="with bars")
    plots.curve(
        ax, x, [[1, 2, 10.01]], color=plots.GREEN, label="a name so long that it takes two lines"
    )
    ax.plot(x, [3, 3, 3], color="black")  # no name
    plots.label_axes(ax, x="x", y="y")
    plots.name_lines(ax, room=1.0)
    figure.draw_without_rendering()
    early, bars, long = named = sorted(ax.texts, key=lambda text: "ewa".index(text.get_text()[0]))
    assert [t.get_color() for t in named] == [plots.BLUE, plots.ORANGE, plots.GREEN]
    assert ax.get_legend() is None and "\n" in long.get_text()
    boxes = [text.get_window_extent() for text in named]
    assert boxes[1].y1 <= boxes[2].y0 + 1  # their lines end at one place
    at = ax.transData.transform
    assert boxes[0].y0 < at((2, 5))[1] < boxes[0].y1 and 0 < boxes[0].x0 - at((2, 5))[0] < 20
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)  # the panel made room
    assert boxes[1].x0 >= at((3, 10))[0]


def test_names_of_lines_that_end_near_one_another_stand_in_one_column():
    figure, ((ax,),) = plots.grid(1, 1, title="lines", panel=(5, 3))
    ax.plot([0.0, 9.5], [1, 5], label="ends at 9.5")
    ax.plot([0.0, 10.0], [1, 2], label="ends at 10")
    ax.axhline(3.5, label="a level, whose own x runs from 0 to 1")
    ax.plot([0.0, 5.0], [3, 3], label="ends early")
    ax.set(xlim=(0, 10.5))
    plots.name_lines(ax)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert np.ptp([box.x0 for box in boxes[:3]]) < 1 and boxes[0].x0 >= ax.bbox.x1
    assert boxes[3].x0 < ax.bbox.x0 + 0.6 * ax.bbox.width
    level = ax.transData.transform((0, 3.5))[1]
    assert boxes[2].y0 < level < boxes[2].y1


def test_a_panel_without_named_lines_stays_as_it_is_and_a_name_needs_a_place():
    _, ((ax,),) = plots.grid(1, 1, title="lines")
    plots.name_lines(ax)
    assert not ax.texts
    ax.plot([1, 2], [np.nan, np.nan], label="lost")
    with pytest.raises(ValueError, match=r"^the line 'lost' must have a finite point to be named at\.$"):
        plots.name_lines(ax)


def test_panels_of_a_subfigure_are_labelled_in_the_style_of_the_whole():
    with plots.style("paper"):
        figure = plots.page(2, 2, title="Two rows")
    part, _ = figure.subfigures(2, 1)
    (ax, _) = part.subplots(1, 2)
    ax.plot([1, 2], [3, 4], label="line")
    plots.label_axes(ax, title="one of two panels whose title is longer than they are wide", legend=8)
    assert "\n" in ax.get_title() and ax.title.get_fontsize() == 9


# ---- files, and notebooks ----------------------------------------------------------------------------


def test_a_figure_shows_itself_in_a_notebook():
    """As IPython asks: a method of this name, whose bytes are a PNG file."""
    figure, axes = plots.grid(1, 2, title="two panels")
    png = figure._repr_png_()
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    size = Image.open(io.BytesIO(png)).size
    np.testing.assert_allclose(size, figure.get_size_inches() * figure.dpi, atol=1)


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_the_same_picture_is_the_same_bytes(kind, tmp_path):
    def save(name):
        figure, ((ax,),) = plots.grid(1, 1, title="one")
        ax.plot([1, 2], [1, 2])
        figure.savefig(tmp_path / f"{name}.{kind}")
        file = io.BytesIO()
        figure.savefig(file, format=kind)
        return file.getvalue()

    first, second = save("a"), save("b")
    assert first == second == (tmp_path / f"a.{kind}").read_bytes()


def test_a_pdf_has_its_letters_as_letters():
    figure, _ = plots.grid(1, 1, title="one")
    file = io.BytesIO()
    figure.savefig(file, format="pdf")
    assert b"/Type3" not in file.getvalue()  # which journals refuse


# ---- colours -----------------------------------------------------------------------------------------

# Machado, Oliveira & Fernandes 2009, Table 1, severity 1: what the dichromats see, in linear RGB.
SEEN = {
    "all": np.eye(3),
    "no red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
PALETTE = {name: getattr(plots, name) for name in ("BLUE", "ORANGE", "GREEN", "GREY")}


def as_seen(color, by):
    """A colour as the colour-blind see it, in CIE L*a*b*."""
    srgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(SEEN[by]) @ linear, 0, 1)
    back = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb2lab(back)


@pytest.mark.parametrize(
    ("by", "least"), [("all", 40), ("no red", 25), ("no green", 25), ("no blue", 16)]
)
def test_colours_are_told_apart_by_all(by, least):
    for a, b in itertools.combinations(PALETTE, 2):
        distance = deltaE_cie76(as_seen(PALETTE[a], by), as_seen(PALETTE[b], by))
        assert distance >= least, (a, b, distance)


def test_a_grey_that_looks_green_to_some_is_found():
    near = deltaE_cie76(as_seen("#666666", "no green"), as_seen(plots.GREEN, "no green"))
    assert near < 17 < 2 * near
    assert deltaE_cie76(as_seen("#666666", "all"), as_seen(plots.GREEN, "all")) > 45


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
