"""Words and panels that several figures share."""

import numpy as np
import pytest

import wedges
from reproductions.common import data, pictures


def test_every_network_and_data_set_has_a_name_for_people():
    networks = ("simple_cnn", "fc", "lenet", "resnet")
    assert all(pictures.named(name) != name for name in (*networks, *data.NAMES))
    assert pictures.named("cifar10") == "CIFAR-10" and pictures.named("simple_cnn") == "SimpleCNN"
    assert pictures.named("mine:network") == "mine:network"


def test_words_are_listed_and_begin_a_sentence():
    assert [pictures.listed("abc"[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert pictures.sentence("the end") == "The end" and pictures.sentence("") == ""


@pytest.mark.parametrize(
    ("count", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (3, 1, 3), (4, 2, 2), (5, 2, 3), (6, 3, 2)]
)
def test_panels_stand_in_rows_of_two_or_of_three(count, rows, columns):
    figure, axes = pictures.panels(count, title="panels", panel=(4, 3))
    assert len(axes) == len(figure.axes) == count
    assert axes[0].get_gridspec().get_geometry() == (rows, columns)


def test_a_phase_is_named_once_in_a_cell_of_its_own_and_ticks_have_room():
    _, ((ax,),) = wedges.plots.grid(1, 1, title="phases")
    found = np.array([[0, 0, 0], [1, 1, 0], [1, 1, 0]])
    pictures.phases(ax, found, ("I", "II"), rows=[1, 2, 3], columns=[0.5, 1, 2])
    places = {text.get_text(): tuple(map(int, text.get_position())) for text in ax.texts}
    assert places.keys() == {"I", "II"} and len(ax.texts) == 2
    assert all(("I", "II")[found[i, j]] == name for name, (j, i) in places.items())
    _, ((ax,),) = wedges.plots.grid(1, 1, title="phases")
    many = range(1, 14)
    pictures.phases(ax, np.zeros((13, 13), int), ("I",), rows=many, columns=many)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "4", "7", "10", "13"]
