"""Cards of small models: their numbers, what is refused, what goes on after a kill, the page."""

import errno
import functools
import html
import importlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given as generated
from hypothesis import strategies as st
from keras import layers

import wedges
from tests.conftest import SPARSE
from wedges import __main__ as command
from wedges import phases
from wedges.cards import (
    between,
    budget,
    definition,
    fit,
    flat,
    given,
    judging,
    kept,
    losses,
    make,
    models,
    page,
    phase,
    reading,
    words,
)

N, FEATURES, CLASSES = 61, 3, 3
ROOT = pathlib.Path(wedges.__file__).parent.parent


def examples(seed, n=N):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, n)
    return (rng.normal(size=(n, FEATURES)) + 1.5 * np.eye(CLASSES)[y]).astype(np.float32), y


def built(units=4):
    end = layers.Dense(CLASSES, name="end")
    return keras.Sequential(
        [keras.Input((FEATURES,)), layers.Dense(units, "tanh", name="start"), end], name="small"
    )


def trained(seed, units=4):
    keras.utils.set_random_seed(seed)
    model = built(units)
    model.compile(keras.optimizers.Adam(0.05), SPARSE, metrics=["accuracy"])
    model.fit(*examples(0), epochs=8, batch_size=20, verbose=0)
    return model


def by_hand(theta, x):
    """Logits [n, classes] of the small model, in NumPy's float64."""
    theta, x = np.asarray(theta, np.float64), np.asarray(x, np.float64)
    a, b, c, d = np.split(theta, np.cumsum([FEATURES * 4, 4, 4 * CLASSES]))
    return np.tanh(x @ a.reshape(FEATURES, 4) + b) @ c.reshape(4, CLASSES) + d


def cross_entropies(z, y):
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two checkpoints, examples and others, as a user has them."""
    folder = tmp_path_factory.mktemp("mine")
    for name, seed in (("a", 1), ("b", 2)):
        trained(seed).save(folder / f"{name}.keras")
    x, y = examples(0)
    np.savez(folder / "mine.npz", x=x, y=y)
    x, y = examples(9, 40)
    np.savez(folder / "test.npz", x=x, y=y)
    return folder


@pytest.fixture(scope="module")
def card(folder):
    lines = []
    found = wedges.card(
        [folder / "a.keras", folder / "b.keras"],
        str(folder / "mine.npz"),
        held_out=str(folder / "test.npz"),
        out_dir=folder / "cards",
        minutes=30,  # also on a machine that does other things: nothing is cut
        say=lines.append,
    )
    found.lines = lines
    return found


def loaded(folder):
    return [keras.saving.load_model(folder / f"{name}.keras") for name in "ab"]


def thetas(folder):
    return [np.concatenate([np.ravel(w) for w in m.get_weights()]) for m in loaded(folder)]


def again(folder, **settings):
    """The same card as the fixture's, once more."""
    given = {"held_out": str(folder / "test.npz"), "out_dir": folder / "cards", "minutes": 30}
    checkpoints = settings.pop("checkpoints", [folder / "a.keras", folder / "b.keras"])
    data = settings.pop("data", str(folder / "mine.npz"))
    return wedges.card(checkpoints, data, **{**given, "say": lambda line: None, **settings})


# ---- numbers ----------------------------------------------------------------------------------------


def test_nothing_was_left_out(card):
    names = ["about", "fit", "mean", "lines", "alike", "curve", "phase"]
    names += [f"{kind}-{k}" for kind in ("curvature", "rise", "look") for k in (1, 2)]
    assert set(names) <= set(card.results)
    cut = {n: r["cut"] for n, r in card.results.items() if "cut" in r}
    assert set(cut) <= {"phase", "aligned"}, cut


def test_loss_and_accuracy_are_those_of_keras(card, folder):
    for data, found in (("mine", card.results["fit"]), ("test", card.results["fit"]["held_out"])):
        arrays = np.load(folder / f"{data}.npz")
        for k, model in enumerate(loaded(folder)):
            loss, accuracy = model.evaluate(arrays["x"], arrays["y"], verbose=0)
            np.testing.assert_allclose(found["loss"][k], loss, rtol=1e-5)
            np.testing.assert_allclose(found["accuracy"][k], accuracy, rtol=1e-6)
        assert found["examples"] == len(arrays["y"])


def test_curvature_is_that_of_the_dense_hessian(card, folder):
    x, y = examples(0)
    for k, theta in enumerate(thetas(folder)):
        theta = tf.constant(theta, tf.float64)
        with tf.GradientTape() as outer:
            outer.watch(theta)
            with tf.GradientTape() as inner:
                inner.watch(theta)
                a, b, c, d = tf.split(theta, [FEATURES * 4, 4, 4 * CLASSES, CLASSES])
                z = tf.tanh(x.astype(np.float64) @ tf.reshape(a, (FEATURES, 4)) + b)
                z = z @ tf.reshape(c, (4, CLASSES)) + d
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, z))
            slope = inner.gradient(loss, theta)
        dense = outer.jacobian(slope, theta).numpy()
        values, vectors = np.linalg.eigh(dense)
        found = card.results[f"curvature-{k + 1}"]
        np.testing.assert_allclose(found["top"], values[:-6:-1], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(found["lowest"], values[0], atol=1e-4)
        np.testing.assert_allclose(found["gradient_norm"], np.linalg.norm(slope), rtol=1e-4)
        assert abs(found["trace"] - np.trace(dense)) < 4 * found["trace_error"] + 1e-6
        first, last = found["layers"]
        assert [each["weights"] for each in (first, last)] == [16, 15]
        for each, part in ((first, slice(16)), (last, slice(16, None))):
            assert abs(each["trace"] - np.trace(dense[part, part])) < 4 * each["trace_error"] + 1e-6
            np.testing.assert_allclose(each["share_of_top"], np.sum(vectors[part, -1] ** 2), atol=1e-3)
            np.testing.assert_allclose(each["norm"], np.linalg.norm(theta[part]), rtol=1e-5)
        shares = np.array(found["density"]["shares"])
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)


def test_the_line_and_the_mean_are_those_by_hand(card, folder):
    a, b = thetas(folder)
    x, y = examples(0)
    (line,) = card.results["lines"]["lines"]
    t = np.array(line["t"])
    losses_on_it = [cross_entropies(by_hand((1 - s) * a + s * b, x), y).mean() for s in t]
    np.testing.assert_allclose(line["loss"], losses_on_it, rtol=1e-4)
    chord = (1 - t) * losses_on_it[0] + t * losses_on_it[-1]
    np.testing.assert_allclose(line["barrier"], max(losses_on_it - chord), rtol=1e-3, atol=1e-6)
    assert line["distance"] == pytest.approx(np.linalg.norm(a - b), rel=1e-5)

    x, y = examples(9, 40)  # what is held out judges
    right = [by_hand(theta, x).argmax(axis=1) == y for theta in (a, b, (a + b) / 2)]
    found = card.results["mean"]
    assert found["where"] == "held out" and found["examples"] == 40
    np.testing.assert_allclose(found["accuracy"], [r.mean() for r in right[:2]], rtol=1e-6)
    np.testing.assert_allclose(found["mean_accuracy"], right[2].mean(), rtol=1e-6)
    gain = right[2] - (right[0].astype(float) + right[1]) / 2
    np.testing.assert_allclose(found["gain"]["mean"], gain.mean(), atol=1e-9)
    best = right[0] if right[0].mean() >= right[1].mean() else right[1]
    np.testing.assert_allclose(found["gain"]["over_best"], right[2].mean() - best.mean(), atol=1e-9)
    half = 1.96 * gain.std() / np.sqrt(40)
    np.testing.assert_allclose(found["gain"]["low"], gain.mean() - half, atol=0.25 * half + 1e-6)
    np.testing.assert_allclose(found["gain"]["high"], gain.mean() + half, atol=0.25 * half + 1e-6)
    probabilities = [
        np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) for z in (by_hand(a, x), by_hand(b, x))
    ]
    ensemble = np.mean(sum(probabilities).argmax(axis=1) == y)
    assert found["ensemble_accuracy"] == pytest.approx(ensemble)


def test_the_surface_and_the_widths_are_losses_by_hand(card, folder):
    a = thetas(folder)[0]
    x, y = examples(0)
    loss = lambda theta: cross_entropies(by_hand(theta, x), y).mean()
    found = card.results["look-1"]
    side = len(found["x"])
    middle = found["losses"][side // 2][side // 2]
    assert side == 25 and found["centre"] == middle == pytest.approx(loss(a), rel=1e-4)
    risen = card.results["rise-1"]
    v = wedges.isotropic(len(a), risen["directions"], seed=[0, 2])
    width = risen["widths"][0]
    assert width["level"] == pytest.approx(loss(a) + 0.1, rel=1e-4)
    at = [next(r for r in np.geomspace(1e-3, 1e3, 4000) if loss(a + r * d) > width["level"]) for d in v]
    if not width["never"]:
        assert width["mean"] == pytest.approx(np.mean(at), rel=0.03)
    box = 1e-3 * (np.abs(a) + 1)
    rng = np.random.default_rng(0)
    random = [loss(a + box * rng.choice([-1, 1], len(a))) for _ in range(50)]
    lowest = 100 * (max(random) - loss(a)) / (1 + loss(a))
    assert risen["epsilon_sharpness"] >= lowest


def test_the_soup_is_no_worse_than_its_best(card, folder):
    found = card.results["mean"]["soup"]
    x, y = examples(0)
    right = lambda theta: np.mean(by_hand(theta, x).argmax(axis=1) == y)
    each = dict(zip("ab", map(right, thetas(folder)), strict=True))
    best = max(each.values())
    chosen = np.mean([thetas(folder)["ab".index(n)] for n in found["chosen"]], axis=0)
    assert right(chosen) >= best and each[found["chosen"][0]] == best


# ---- files ------------------------------------------------------------------------------------------


def test_the_page_loads_nothing_and_shows_what_was_found(card):
    text = card.page.read_text()
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    assert "prefers-color-scheme: dark" in text and "<script" not in text and "undefined" not in text
    assert not re.search(r"(src|srcset|action|data)=\"(?!data:image/png)|@import|url\(", text)
    links = set(re.findall(r'href="([^"]*)"', text))
    beside = {
        link for link in links if not re.fullmatch(r"#\w+|https://arxiv.org/abs/\d{4}.\d{5}", link)
    }
    assert beside <= {"card.json", "surface-1.html", "surface-2.html"}
    assert all((card.page.parent / link).exists() for link in beside)
    assert all(f'id="{link[1:]}"' in text for link in links if link.startswith("#"))
    pictures = re.findall(r'src="data:image/png;base64,([^"]*)" width="(\d+)"', text)
    assert len(pictures) == 3 and all(data.startswith("iVBORw0KGgo") for data, _ in pictures)
    assert "May these be averaged?" in text and "Is it flat?" in text and "How it looks" in text
    for number in (card.results["curvature-1"]["top"][0], card.results["fit"]["loss"][1]):
        assert words.number(number) in text
    shown = card._repr_html_()
    assert shown.startswith("<iframe srcdoc=") and "<script" not in shown
    inner = html.unescape(shown)  # a notebook is elsewhere: no link leads to what lies beside the page
    assert not [
        link for link in re.findall(r'href="([^"]*)"', inner) if not re.match("#|https:|about:", link)
    ]
    assert f"<code>{card.json.resolve()}</code>" in inner and '<base href="about:srcdoc">' in inner
    assert repr(card).startswith("Card(")


def test_a_paper_is_linked_wherever_it_is_named(card):
    """As "Name et al. year", and by one number for one name."""
    text = re.sub(r"<style>.*</style>", "", card.page.read_text(), flags=re.DOTALL)
    found = set(re.findall(r'<a href="https://arxiv.org/abs/([\d.]+)">([^<]*)</a>', text))
    assert len({number for number, _ in found}) == len({name for _, name in found}) == len(found) >= 8
    plain = re.sub(r"<a .*?</a>", "", text)
    assert not re.findall(r"et al\.", plain)


def test_the_page_says_how_it_is_made_again(card, folder):
    """Copied into a shell it is the same card, which is found."""
    text = html.unescape(card.page.read_text())
    (line,) = re.findall(r'<pre class="again" tabindex="0">(.*)</pre>', text)
    argv = shlex.split(re.sub("</?span>", "", line))
    assert argv[:4] == ["python", "-m", "wedges", "card"]
    values = vars(command._parser().parse_args(argv[4:]))
    asked = given.checked(values.pop("checkpoints"), values.pop("data"), **values)
    assert given.finished(asked)[0] == card.page
    assert "of 0:36 minutes" not in text and re.search(r"Complete after \d+:\d\d minutes; the b", text)


def test_what_is_in_memory_has_no_command(tmp_path):
    asked = lambda *of, **how: given.checked(*of, **how).command
    assert asked(built(), (X, Y)) is None
    np.savez(tmp_path / "of mine.npz", x=X, y=Y)
    path = saved(built(), tmp_path / "a b.keras")
    assert asked(path, (X, Y)) is None and asked(path, tmp_path / "of mine.npz", model=built) is None
    line = asked(path, tmp_path / "of mine.npz", minutes=0.5, seed=3, loss="mse")
    flags = [f"--data={tmp_path / 'of mine.npz'}", "--loss=mse", "--minutes=0.5", "--seed=3"]
    assert shlex.split(line) == ["python", "-m", "wedges", "card", str(path), *flags]


def test_a_phone_scrolls_tables_and_pictures_in_their_frames(card):
    """With a hint beside each picture; and a dark page dims what is white."""
    text = card.page.read_text()
    assert text.count('class="small soft scrolls"') == text.count('<label class="zoom">') == 3
    assert "scroll sideways in their frames" in text
    assert text.count("<table>") == text.count('<div class="scroll"><table>') > 5
    dark, phone, printed = (
        text.partition(f"@media {query}")[2].partition("\n}")[0]
        for query in ("(prefers-color-scheme: dark)", "(max-width: 42rem)", "print")
    )
    assert "filter: brightness(.9)" in dark and "filter: none" in printed
    assert ".scrolls { display: block" in phone and ".scrolls { display: none; }" in printed


def test_the_numbers_are_in_one_file(card):
    found = json.loads(card.json.read_text())
    assert found["finished"] and found["checkpoints"] == ["a", "b"] and found["sections"] == card.results
    assert found["settings"]["minutes"] == 30 and found["settings"]["seed"] == 0
    left = {p.name for p in card.page.parent.iterdir()}
    assert left <= {"card.html", "card.json", "sections", "surface-1.html", "surface-2.html"}


def test_text_of_a_file_cannot_become_part_of_the_page(card):
    found = json.loads(card.json.read_text())
    found["checkpoints"][0] = "<img src=x>"
    assert "<img src=x>" not in page.rendered(found, {})


def test_a_curve_that_was_cut_short_is_no_barrier_on_the_page(card):
    found = json.loads(card.json.read_text())
    found["sections"]["curve"] |= {"joined": False, "converged": False, "unit": "error", "barrier": 23.4}
    found["sections"]["phase"] = {"cut": "whether a low path joins them is not known"}
    text = page.rendered(found, {})
    assert "no low path was found in" in text and "a longer --minutes may find one" in text
    assert "barrier parts" not in text and "valley" not in text and ">Phase" not in text


def test_the_page_tells_numbers_of_each_checkpoint_and_not_the_first_ones(card):
    """Products, grids and distances may differ, since each checkpoint has its own share of the time."""
    found = json.loads(card.json.read_text())
    sections = found["sections"]
    sections["curvature-1"]["products"], sections["curvature-2"]["products"] = 154, 22
    sections["look-2"] |= {name: sections["look-2"][name][:7] for name in ("x", "y")}
    sections["rise-1"] |= {"directions": 0, "widths": [], "left_out": "none fits"}
    text = html.unescape(re.sub("<[^>]*>", " ", page.rendered(found, {})))
    text = " ".join(text.split())
    assert "by 154 (a) and 22 (b) Hessian-vector products" in text
    assert "25 x 25 (a) and 7 x 7 (b) points" in text
    for width in sections["rise-2"]["widths"]:
        mean, error = words.number(width["mean"]), words.number(width["error"])
        assert f"distance to a loss of {width['threshold']} {mean} ± {error}" in text
    assert "Distances of a were left out: none fits." in text
    assert f"Distances are means over {sections['rise-2']['directions']} uniformly random" in text
    sections["rise-2"] |= {"directions": 0, "widths": [], "left_out": "nor here"}
    assert "Distances are means" not in page.rendered(found, {})


def test_progress_is_told_with_the_time_left(card):
    starts = [line for line in card.lines if " ..." in line]
    assert len(starts) >= 12 and all(re.match(r" *\d+:\d\d  ", line) for line in starts)
    assert any("left)" in line for line in starts) and card.lines[0] == str(card.page)


def test_checkpoints_may_have_names_of_ones_own(folder, tmp_path):
    """In a dict; of a list of models those that Keras made up say nothing."""
    x, y = X, Y
    models_of_mine = [keras.Sequential([keras.Input((FEATURES,)), layers.Dense(3)]) for _ in range(3)]
    asked = lambda of: given.checked(of, (x, y), loss=SPARSE, minutes=1e-3, out_dir=tmp_path)
    assert asked(models_of_mine).names == ["model (1)", "model (2)", "model (3)"]
    of = dict(zip(("early", "late", "last"), models_of_mine, strict=True))
    found = wedges.card(of, (x, y), loss=SPARSE, minutes=1e-3, out_dir=tmp_path, say=lambda line: None)
    assert found.results["about"]["checkpoints"] == ["early", "late", "last"]
    assert found.page.parent.name.startswith("early-late-last-")
    files = {"before": folder / "a.keras", "after": folder / "b.keras"}
    one, other = (
        given.checked(files, folder / "mine.npz"),
        given.checked([*files.values()], folder / "mine.npz"),
    )
    assert one.mark != other.mark and one.command is None and one.names == ["before", "after"]
    with pytest.raises(ValueError, match="^checkpoints must have names that are text; received 3.$"):
        asked({3: models_of_mine[0]})
    with pytest.raises(
        ValueError, match="^checkpoints must be at least one file or model; received none"
    ):
        asked({})


def must_not_run(*given):
    raise AssertionError("this was done before")


def test_a_finished_card_is_read(card, folder, monkeypatch):
    """Found by its files; or, of arrays and models in memory, by its key."""
    monkeypatch.setattr(make, "made", must_not_run)
    before = {p: p.stat().st_mtime_ns for p in (card.page.parent / "sections").iterdir()}
    found = again(folder)
    assert found.results == card.results and found.page == card.page and found.json == card.json
    monkeypatch.undo()
    for module, name in ((flat, "sharp"), (flat, "rise"), (between, "mean")):
        monkeypatch.setattr(module, name, must_not_run)
    arrays = lambda name: tuple(np.load(folder / name)[n] for n in "xy")
    found = again(folder, data=arrays("mine.npz"), held_out=arrays("test.npz"))
    assert found.results == card.results and found.page == card.page
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_killed_card_goes_on(card, folder, tmp_path, monkeypatch):
    """What was done is kept, what was damaged is measured again, and the numbers are the same."""
    copy = tmp_path / "cards" / card.page.parent.name
    shutil.copytree(card.page.parent, copy)
    for gone in ("curvature-2", "phase"):
        (copy / "sections" / f"{gone}.json").unlink()
    damaged = copy / "sections" / "lines.json"
    damaged.write_text(damaged.read_text()[:100])
    done = []
    for module, name in ((between, "lines"), (flat, "sharp")):
        real = getattr(module, name)
        watched = lambda *given, real=real, name=name: done.append(name) or real(*given)
        monkeypatch.setattr(module, name, watched)
    monkeypatch.setattr(between, "mean", must_not_run)
    found = again(folder, out_dir=tmp_path / "cards")
    assert sorted(done) == ["lines", "sharp"]
    timeless = lambda r: {k: v for k, v in r.items() if k != "seconds"}
    for name in card.results:
        expected = timeless(card.results[name])
        if name == "curvature-2":  # as many products as the measured time allows
            assert found.results[name]["top"] == pytest.approx(expected["top"], rel=1e-3, abs=1e-5)
        else:
            assert timeless(found.results[name]) == expected


def test_other_weights_data_or_settings_are_another_card():
    usual = {"checkpoints": built(), "data": (X, Y), "examples": None, "seed": 0, "minutes": 5}
    usual |= {"model": None, "loss": SPARSE, "held_out": None}
    key = lambda **other: make._read(given.read(given.checked(**{**usual, **other})))[2]
    others = {"seed": 1, "minutes": 6, "examples": 30, "loss": "sparse_categorical_crossentropy"}
    others |= {"data": (X, (Y + 1) % 3), "held_out": (X, Y), "checkpoints": built()}
    keys = [key(), *(key(**{name: value}) for name, value in others.items())]
    assert len(set(keys)) == len(keys) and key() == keys[0]


def key_with(loss=None, model=None):
    model = built() if model is None else model
    return make._read(given.read(given.checked(model, (X, Y), loss=loss)))[2]


class Scaled(keras.losses.Loss):
    """A loss of one's own that tells no configuration."""

    def __init__(self, factor):
        super().__init__(name="scaled")
        self.factor = factor

    def call(self, y_true, y_pred):
        return self.factor * SPARSE.call(y_true, y_pred)


def scaled_by(factor):
    return lambda y_true, y_pred: factor * SPARSE.call(y_true, y_pred)


def alike(loss):
    """A model that always has the same weights, compiled with a loss."""
    model = keras.models.clone_model(SAME)
    model.set_weights(SAME.get_weights())
    model.compile(keras.optimizers.SGD(name="usual"), loss)
    return model


SAME = built()
SPARSE_OF = keras.losses.SparseCategoricalCrossentropy
SMOOTH_OF = keras.losses.CategoricalFocalCrossentropy


@pytest.mark.parametrize(
    ("of", "one", "other"),
    [
        (lambda logits: SPARSE_OF(from_logits=logits), True, False),
        (lambda ignored: SPARSE_OF(from_logits=True, ignore_class=ignored), None, 0),
        (lambda reduction: SPARSE_OF(from_logits=True, reduction=reduction), "sum", "mean"),
        (Scaled, 1.0, 2.0),
        (scaled_by, 1.0, 2.0),
        (lambda factor: functools.partial(lambda y, z, f: f * SPARSE.call(y, z), f=factor), 1.0, 2.0),
    ],
)
def test_another_setting_of_a_loss_is_another_card(of, one, other):
    """Given, or what the model was compiled with; an equal one is the same card."""
    keras.utils.set_random_seed(0)
    key = lambda value: key_with(of(value), alike(None))
    assert key(one) == key(one) != key(other)
    compiled = lambda value: key_with(None, alike(of(value)))
    assert compiled(one) == compiled(one) != compiled(other)


def test_settings_that_keras_does_not_tell_are_another_card():
    """Keras' own configuration of the Huber loss has no delta."""
    of = lambda delta: definition.definition(keras.losses.Huber(delta))
    assert of(1.0) == of(1.0) != of(50.0)
    smooth = lambda share: definition.definition(SMOOTH_OF(label_smoothing=share))
    assert smooth(0.0) == smooth(0.0) != smooth(0.1)


OWN_LOSS = """
import keras
def helper(y, z): return {factor} * keras.losses.sparse_categorical_crossentropy(y, z, from_logits=True)
def mine(y, z): return helper(y, z)
"""
OWN_LAYER = """
import keras
class Own(keras.layers.Layer):
    def call(self, x): return x * {factor}
"""


def test_an_edited_loss_or_layer_of_ones_own_is_another_card(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # files that are written within one second
    keys = {}
    for factor in (1.0, 2.0, 1.0):
        (tmp_path / "own_loss.py").write_text(OWN_LOSS.format(factor=factor))
        (tmp_path / "own_layer.py").write_text(OWN_LAYER.format(factor=factor))
        for name in ("own_loss", "own_layer"):
            sys.modules.pop(name, None)
        own = importlib.import_module("own_layer").Own(name="own")
        end = layers.Dense(3, "tanh", name="end")
        model = keras.Sequential([keras.Input((FEATURES,), name="x"), own, end], name="of_own")
        model.layers[-1].set_weights([np.ones((3, 3)), np.zeros(3)])
        found = key_with("own_loss:mine", alike(None)), key_with(SPARSE, model)
        assert keys.setdefault(factor, found) == found
    assert all(a != b for a, b in zip(keys[1.0], keys[2.0], strict=True))


def test_a_file_with_a_class_of_ones_own_is_not_found_by_its_bytes(tmp_path):
    """What the class computes is in no file of the card's."""
    np.savez(tmp_path / "mine.npz", x=X, y=Y)
    kind = type("Own", (keras.layers.Layer,), {"call": lambda self, x: 2 * x, "__module__": "nowhere"})
    own = keras.Sequential([keras.Input((FEATURES,)), kind(), layers.Dense(CLASSES)])
    for model, ending, known in ((own, "keras", False), (built(), "keras", True), (built(), "h5", True)):
        path = saved(model, tmp_path / f"m.{ending}")
        assert (given.checked(path, tmp_path / "mine.npz").mark is not None) is known, (model, ending)


def test_a_frozen_layer_called_seed_counts():
    """Only the state of random numbers is left out, and not all that has the word in its name."""
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, trainable=False, name="seed")])
    key = kept.key_of([model], (), {})
    model.layers[-1].bias.assign([1.0])
    assert kept.key_of([model], (), {}) != key


class Held:
    """Something that a layer may hold."""

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x


class Holding(keras.layers.Layer):
    """A layer whose configuration does not tell what it was made with."""

    def __init__(self, held, name="holding"):
        super().__init__(name=name)
        self.held = held

    def call(self, x):
        held = self.held[0] if isinstance(self.held, (list, dict)) else self.held
        return held * x if isinstance(held, float) else held(x)

    def get_config(self):
        return {"name": self.name}


@pytest.mark.parametrize(
    "make",
    [
        float, Held, layers.LeakyReLU, lambda a: [a], lambda a: {0: Held(a)}, lambda a: [layers.ELU(a)],
        lambda a: functools.partial(_times, a), lambda a: lambda x: a * x,
    ],
)  # fmt: skip
def test_what_a_layer_of_ones_own_was_made_with_is_in_the_key(make):
    """Whatever it holds: a number, an object, a layer of Keras', alone or in a list, a function."""

    def key(a):
        keras.utils.clear_session()
        for _ in range(int(10 * a)):
            layers.ELU()  # names of layers count on, and are no part of what is computed
        model = keras.Sequential([keras.Input((2,), name="x"), Holding(make(a))], name="model")
        return kept.key_of([model], (), {})

    assert key(0.5) == key(0.5) != key(0.25)


def test_a_key_tells_which_of_several_values_is_held_again():
    one, other = (lambda x: x), (lambda x: 2 * x)

    def key(*held):
        holding = [Holding(each, name=f"number_{i}") for i, each in enumerate(held)]
        model = keras.Sequential([keras.Input((2,), name="x"), *holding], name="model")
        return kept.key_of([model], (), {})

    assert key([one, other, one]) == key([one, other, one]) != key([one, other, other])
    assert key(one, other, one) == key(one, other, one) != key(one, other, other)


def _times(a, x):
    return a * x


def test_what_keras_writes_into_a_model_that_was_used_is_no_part_of_a_key():
    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.factor, self.end = 0.5, layers.Dense(CLASSES, name="end")

        def call(self, x):
            return self.factor * self.end(x)

    model = Own()
    model.compile("sgd", SPARSE)
    model(X[:1])
    key = kept.key_of([model], (), {})
    model.fit(X, Y, epochs=0, verbose=0)
    model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
    assert kept.key_of([model], (), {}) == key
    model.factor = 0.25
    assert kept.key_of([model], (), {}) != key


@pytest.mark.parametrize("within", [lambda: layers.Dropout(0.5), lambda: [layers.GaussianNoise(0.1)]])
def test_a_seed_that_keras_draws_is_no_part_of_a_key(within):
    """It is another one in each process."""
    make = lambda: keras.Sequential([keras.Input((2,), name="x"), Holding(within())], name="model")
    assert kept.key_of([make()], (), {}) == kept.key_of([make()], (), {})


# ---- what is refused --------------------------------------------------------------------------------


def arrays(tmp_path, **values):
    np.savez(tmp_path / "bad.npz", **values)
    return str(tmp_path / "bad.npz")


X, Y = examples(0)
BAD_DATA = {
    "no such file": (lambda t: "gone.npz", "data must be a file that is there"),
    "no y": (lambda t: arrays(t, x=X, z=Y), r"data must hold arrays called x and y.*bad.npz with x, z"),
    "NaN": (lambda t: arrays(t, x=np.where(X > 2, np.nan, X), y=Y), r"x must be finite.*NaN"),
    "as many": (lambda t: arrays(t, x=X, y=Y[1:]), "data must hold as many x as y.*61 and 60"),
    "another shape": (
        lambda t: arrays(t, x=X[:, :2], y=Y),
        r"x must fit the inputs.*\(N, 3\).*\(N, 2\)",
    ),
    "labels out of range": (lambda t: arrays(t, x=X, y=Y + 1), "y must hold classes from 0 to 2"),
    "labels below 0": (
        lambda t: arrays(t, x=X, y=Y - 1),
        "y must hold whole numbers, the classes from 0 to 2; received -1",
    ),
    "labels between": (
        lambda t: arrays(t, x=X, y=Y + 0.5),
        "y must hold whole numbers, the classes from 0 to 2; received [012].5",
    ),
    "text": (
        lambda t: arrays(t, x=X, y=np.array(["cat", "dog", "emu"])[Y]),
        r"y must be arrays of numbers, .*; received text, such as '(cat|dog|emu)' \(numpy.unique\(",
    ),
    "no zip": (
        lambda t: (t / "bad.npz").write_text("x") and str(t / "bad.npz"),
        "data must be a .npz file, as",
    ),
    "a folder": (str, "data must be a .npz file; received .*, a folder"),
    "nothing in it": (lambda t: arrays(t, x=X[:0], y=Y[:0]), "data must hold as many x.*0 and 0"),
    "rows that differ": (
        lambda t: ([[1.0], [2.0, 3.0]], [0, 1]),
        "x must be arrays of numbers, .*; received a list whose rows differ in length",
    ),
    "four things": (lambda t: (X, Y, Y, Y), r"data must be \(x, y\) or .*; received a tuple of 4"),
    "one input of two": (lambda t: ([X, X[:5]], Y), "data must hold as many x as y.*61 and 5 and 61"),
    "no module": (lambda t: "no_such_module:f", "data must be module:function"),
    "an object": (
        lambda t: arrays(t, x=np.array([None] * 5), y=Y[:5]),
        r"data must be a .npz file of numbers; .*whose x holds objects of Python's.*numpy.unique\(",
    ),
}


@pytest.mark.parametrize("what", BAD_DATA)
def test_data_that_will_not_do(what, folder, tmp_path):
    made, message = BAD_DATA[what]
    with pytest.raises(ValueError, match=f"^{message}") as error:
        again(folder, data=made(tmp_path), held_out=None, out_dir=tmp_path / "cards")
    assert "\n" not in str(error.value) and not (tmp_path / "cards").exists()


def saved(model, path):
    model.save(path) if not path.name.endswith(".weights.h5") else model.save_weights(path)
    return path


def flipped(path):
    """The same file with a bit of its last weights changed."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return path


def broken():
    model = built()
    model.get_layer("end").bias.assign([0.0, np.nan, 0.0])
    return model


BAD_CHECKPOINTS = {
    "no such file": (lambda t: t / "gone.keras", "checkpoints must be files that are there"),
    "no model": (
        lambda t: (t / "x.keras").write_text("x") and t / "x.keras",
        "x.keras must be a whole model as model.save writes it; received something else, 1 bytes",
    ),
    "cut short": (
        lambda t: (
            (t / "x.keras").write_bytes(saved(built(), t / "y.keras").read_bytes()[:3000])
            and t / "x.keras"
        ),
        "x.keras must be a whole model .*; received the beginning of one, cut short, 3,000 bytes",
    ),
    "a damaged one": (lambda t: flipped(saved(built(), t / "x.keras")), "x.keras must be a whole model"),
    "another zip": (
        lambda t: pathlib.Path(arrays(t, x=X)).rename(t / "x.keras"),
        "x.keras must be a whole model .*; received one without config.json",
    ),
    "no HDF5": (
        lambda t: (t / "x.h5").write_text("x") and t / "x.h5",
        "x.h5 must be an HDF5 file, as Keras saves it; received something else",
    ),
    "a folder": (lambda t: t, "checkpoints must be files; received .*, a folder"),
    "weights alone": (lambda t: saved(built(), t / "w.weights.h5"), "model must be module:function"),
    "another architecture": (
        lambda t: saved(built(5), t / "wide.keras"),
        r"a.keras and wide.keras must be of one architecture; received weights that differ first in "
        r"dense/0 \[3, 4\] of a.keras and dense/0 \[3, 5\] of wide.keras",
    ),
    "other inputs": (
        lambda t: saved(keras.Sequential([keras.Input((7,)), layers.Dense(3)]), t / "seven.keras"),
        r"a.keras and seven.keras must be of one architecture; .*\[3, 4\] of a.keras and .*\[7, 3\] of",
    ),
    "a layer less": (
        lambda t: saved(
            keras.Sequential([keras.Input((FEATURES,)), *built().layers[:1]]), t / "less.keras"
        ),
        r"a.keras and less.keras must be of .* dense_1/0 \[4, 3\] of a.keras and the end of less",
    ),
    "NaN in its weights": (lambda t: saved(broken(), t / "nan.keras"), "nan must have finite weights"),
    "another thing": (lambda t: 3, "checkpoints must be files or models"),
}


@pytest.mark.parametrize("what", BAD_CHECKPOINTS)
def test_checkpoints_that_will_not_do(what, folder, tmp_path):
    made, message = BAD_CHECKPOINTS[what]
    with pytest.raises(ValueError, match=f"^{message}") as error:
        again(folder, checkpoints=[folder / "a.keras", made(tmp_path)], out_dir=tmp_path / "cards")
    assert "\n" not in str(error.value) and not (tmp_path / "cards").exists()


def test_models_in_memory_are_compared_as_well():
    """Also those that are built by what they are called on."""
    late = lambda units: keras.Sequential([layers.Dense(units, name="start"), layers.Dense(3)], name="l")
    for one, other in ((built(), built(5)), (late(4), late(5))):
        said = r"must be of one architecture; .*start/kernel \[3, 4\] of .*start/kernel \[3, 5\] of"
        with pytest.raises(ValueError, match=said):
            models.models_of([one, other], None, X)
    assert len(models.models_of([built(), built(), late(4)], None, X)) == 3


def test_a_class_of_ones_own_is_named_and_how_to_give_it(tmp_path):
    """Nobody can import it from where its file says that it is."""
    kind = type("Own", (keras.layers.Layer,), {"call": lambda self, x: 2 * x, "__module__": "nowhere"})
    own = lambda: keras.Sequential([keras.Input((FEATURES,)), kind(), layers.Dense(CLASSES)])
    model = own()
    path = saved(model, tmp_path / "own.keras")
    with pytest.raises(ValueError, match="own.keras must be loaded with your own 'Own'.* model=module:"):
        models.models_of(path, None, X)
    ((name, found),) = models.models_of(path, own, X)  # the file's weights, in the model that is built
    np.testing.assert_array_equal(found(X), model(X))
    assert name == "own"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"minutes": 0}, "minutes must be a finite number above 0"),
        ({"examples": 1}, "examples must be a whole number, at least 2"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"loss": "no_such_loss"}, "loss must be one of Keras'"),
        ({"held_out": "gone.npz"}, "held_out must be a file that is there"),
        ({"model": "no_such_module:f"}, "model must be module:function"),
        ({"checkpoints": []}, "checkpoints must be at least one file or model"),
        ({"checkpoints": 3}, "checkpoints must be files or models; received 3"),
    ],
)
def test_settings_that_will_not_do(settings, message, folder, tmp_path):
    with pytest.raises(ValueError, match=f"^{message}"):
        again(folder, **{"out_dir": tmp_path / "cards", **settings})
    assert not (tmp_path / "cards").exists()


# ---- what is read -----------------------------------------------------------------------------------


def of(given, **settings):
    return reading.data_of(given, "data", **{"examples": None, "seed": 0, **settings})


def test_examples_of_every_kind_are_the_same(tmp_path, monkeypatch):
    (tmp_path / "my_data.py").write_text(
        "import numpy as np\ndef pair():\n    return np.ones((5, 2)), [0] * 5\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    dataset = tf.data.Dataset.from_tensor_slices((X, Y))
    for made in ((X, Y), dataset, dataset.batch(7), {"x": X, "y": Y}, arrays(tmp_path, x=X, y=Y)):
        found = of(made)
        order = np.lexsort(found.x.T)
        np.testing.assert_array_equal(found.x[order], X[np.lexsort(X.T)])
        np.testing.assert_array_equal(found.y[order], Y[np.lexsort(X.T)])
    for names in reading.PAIRS:
        assert of(arrays(tmp_path, **dict(zip(names, (X, Y), strict=True)))).size == N
    assert of("my_data:pair").size == 5


def two_inputs(first="one", second="two"):
    """A model of two inputs whose output says which is which."""
    inputs = [keras.Input((2,), name=first), keras.Input((1,), name=second)]
    add = layers.Dense(3, name="sum", kernel_initializer=keras.initializers.Constant(1.0))
    return keras.Model(inputs, add(layers.Concatenate()([inputs[0], 10 * inputs[1]])))


def test_several_inputs_of_every_kind_are_the_same(tmp_path):
    """As fit takes them, and from a file by number or by the model's names."""
    one, two = X[:, :2], X[:, 2:]
    model = two_inputs("p", "a")  # in another order than that of their names
    expected = np.sort(one.sum(axis=1) + 10 * two[:, 0])
    by_name = {"p": one, "a": two}
    kinds = [([one, two], Y), ((one, two), Y), (by_name, Y), ([tf.constant(one), two], Y)]
    kinds += [arrays(tmp_path, **by_name, y=Y, sample_weight=Y)]
    for k, made in enumerate(kinds):
        found = of(made)
        assert found.size == N and found.first(7)[1].shape == (7,)
        ((_, network),) = models.models_of(model, None, found.x)
        outputs = np.asarray(network(reading.mapped(tf.constant, found.x)))[:, 0]
        np.testing.assert_allclose(np.sort(outputs), expected, rtol=1e-5, err_msg=str(k))
    many = [np.full((5, 1), float(i)) for i in range(12)]  # x10 comes after x9
    found = of(arrays(tmp_path, labels=np.arange(5), **{f"x{i}": x for i, x in enumerate(many)}))
    assert [x[0, 0] for x in found.x] == list(range(12))
    with pytest.raises(
        ValueError, match=r"the inputs of .model., which takes \(N, 2\), \(N, 1\); received "
    ):
        models.models_of(model, None, of(([two, one], Y)).x)
    with pytest.raises(
        ValueError, match=r"takes p \(N, 2\), a \(N, 1\); received a \(N, 1\), q \(N, 2\)"
    ):
        models.models_of(model, None, {"a": two, "q": one})


def test_a_card_of_two_inputs(tmp_path):
    x = [X[:, :2], X[:, 2:]]
    found = wedges.card(two_inputs(), (x, Y), minutes=1e-3, out_dir=tmp_path, say=lambda line: None)
    loss = SPARSE(Y, two_inputs()(x)).numpy()
    np.testing.assert_allclose(found.results["fit"]["loss"], loss, rtol=1e-5)


def test_a_subset_is_random_and_its_rows_stay_together():
    found = of((X, Y), examples=20)
    assert found.size == 20 and found.total == N
    rows = [int(np.flatnonzero((x == X).all(axis=1))[0]) for x in found.x]
    assert len(set(rows)) == 20 and sorted(rows) != rows
    np.testing.assert_array_equal(found.y, Y[rows])
    assert not np.array_equal(found.x, of((X, Y), examples=20, seed=1).x)
    endless = tf.data.Dataset.from_tensor_slices((X, Y)).repeat()
    assert of(endless, examples=100).size == 100


def sorted_by_class(n=300):
    y = np.arange(n) // (n // 3)
    return tf.data.Dataset.from_tensor_slices((np.arange(n, dtype="float32")[:, None], y))


@pytest.mark.parametrize("batch", [None, 7, 1000])
def test_a_subset_of_a_data_set_is_of_all_of_it(batch):
    """And not its first examples, which may be of one class."""
    dataset = sorted_by_class() if batch is None else sorted_by_class().batch(batch)
    found = of(dataset, examples=60)
    assert (found.size, found.total) == (60, 300) and len(set(found.x[:, 0])) == 60
    np.testing.assert_array_equal(found.y, found.x[:, 0] // 100)
    assert np.all(np.bincount(found.y) > 8)  # 20 expected, 3.3 standard errors below
    assert not np.array_equal(found.x, of(dataset, examples=60, seed=1).x)
    np.testing.assert_array_equal(found.x, of(dataset, examples=60).x)


def test_a_subset_is_drawn_in_little_memory(monkeypatch):
    """No more than a few thousand rows are held of a long data set."""
    held, real = [], reading._Sample.add
    watched = lambda self, rows: real(self, rows) or held.append(self.held)
    monkeypatch.setattr(reading._Sample, "add", watched)
    x = np.arange(20_000, dtype="float32")[:, None]
    found = of(tf.data.Dataset.from_tensor_slices((x, x[:, 0])).batch(100), examples=50)
    assert len(held) == 200 and max(held) <= 1100 and found.total == 20_000
    quarters = np.bincount(found.y.astype(int) // 5000, minlength=4)
    assert quarters.min() >= 3  # 12.5 expected


def test_a_data_set_that_is_cut_says_so(monkeypatch):
    monkeypatch.setattr(reading, "LIMIT", 100)
    for batch in (7, 50, 100):
        with pytest.warns(
            UserWarning, match="^data is a data set of more than 100 examples: the first 1"
        ):
            found = of(sorted_by_class().batch(batch))
        assert (found.size, found.total) == (100, None) and set(found.x[:, 0]) == set(range(100))
        with pytest.warns(UserWarning, match="the first 100 were read"):
            assert of(sorted_by_class().batch(batch), examples=60).total is None
    with warnings.catch_warnings(action="error"):
        assert of(sorted_by_class(99).batch(33)).total == 99
        assert of(sorted_by_class().take(100).batch(50)).total == 100
        assert of(sorted_by_class(), examples=300).total == 300


def test_the_page_says_that_a_data_set_was_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "LIMIT", 50)
    dataset = tf.data.Dataset.from_tensor_slices((X, Y))
    asked = {"minutes": 1e-3, "out_dir": tmp_path, "say": lambda line: None, "loss": SPARSE}
    found = wedges.card(built(), dataset, **asked)
    assert (
        "data is a data set of more than 50 examples: the first 50 were read." in found.page.read_text()
    )
    assert found.results["about"]["data"]["of"] is None
    assert found.results["about"]["data"]["examples"] == 50


def test_a_data_set_of_single_examples_is_known_by_its_shapes():
    """By first axes that differ, or by what goes into the model; batches of one length stay batches."""
    of_model = lambda given: of(given, inputs=lambda: [(FEATURES,)])
    pairs = lambda *parts: tf.data.Dataset.from_tensor_slices(parts)
    one_hot = np.eye(5)[Y]
    for found in (of(pairs(X, one_hot)), of_model(pairs(X, one_hot))):
        assert found.x.shape == (N, FEATURES) and found.y.shape == (N, 5)
    found = of_model(pairs(X, X))  # an autoencoder
    assert found.x.shape == found.y.shape == (N, FEATURES)
    whole = pairs(X, X).batch(10, drop_remainder=True)
    assert of_model(whole).x.shape == of(whole).x.shape == (60, FEATURES)
    square = pairs(X, X).batch(FEATURES, drop_remainder=True)  # 3 x 3: no example of 3 numbers
    assert of_model(square).x.shape == (60, FEATURES)
    named = pairs({"p": X[:, :2], "a": X[:, :2]}, X[:, :2])
    assert of(named, inputs=lambda: [(2,), (2,)]).y.shape == (N, 2)


def test_a_card_of_an_autoencoder_from_single_examples(tmp_path):
    def auto():
        model = keras.Sequential([keras.Input((FEATURES,)), layers.Dense(FEATURES, name="out")])
        model.compile("adam", "mse")
        return model

    dataset = tf.data.Dataset.from_tensor_slices((X, X))
    kinds = [{"checkpoints": auto()}, {"checkpoints": saved(auto(), tmp_path / "a.keras")}]
    kinds += [{"checkpoints": saved(auto(), tmp_path / "w.weights.h5"), "model": auto}]
    for asked in kinds:
        checked = given.checked(data=dataset, loss="mse", **asked)
        subject = make._read(given.read(checked))[0]
        assert subject.data.size == N and subject.data.y.shape == (N, FEATURES)


def test_what_is_held_out_may_be_in_the_same_file(tmp_path):
    path = arrays(tmp_path, x_train=X, y_train=Y, x_test=X[:7], y_test=Y[:7])
    x, y = reading.held_out_in(path)
    assert len(x) == len(y) == 7 and of(path).size == N and reading.held_out_in((X, Y)) is None


def test_weights_of_every_kind_are_the_same(tmp_path):
    model = built()
    theta = np.concatenate([np.ravel(w) for w in model.get_weights()])
    wedges.archive.write(tmp_path / "w.npz", {"theta": theta})
    files = [saved(model, tmp_path / name) for name in ("m.keras", "m.h5", "m.weights.h5")]
    for path in (*files, tmp_path / "w.npz"):
        for build in [built] if path.name.endswith(("weights.h5", ".npz")) else [None, built]:
            ((name, found),) = models.models_of(path, build, X)
            np.testing.assert_allclose(found(X), model(X), rtol=1e-6)
            assert name in ("m", "w")
    with pytest.raises(ValueError, match="w.npz must hold the weights of the model"):
        models.models_of(tmp_path / "w.npz", lambda: built(7), X)
    names = [n for n, _ in models.models_of([files[0], files[1]], None, X)]
    assert names == ["m (1)", "m (2)"]


def guess(end, y, x=X, loss=None):
    model = keras.Sequential([keras.Input((x.shape[1],)), end])
    found = losses.loss_of(model, reading.Data("", x, y, len(x), None), loss)
    return found.name, getattr(found.loss, "from_logits", None), found.origin


def test_all_targets_are_looked_at(folder):
    """Also those that come late, and those held out."""
    late = lambda value: np.r_[Y[:-1].astype(float), value]
    ask = lambda **settings: again(folder, checkpoints=built(), loss=SPARSE, **settings)
    with pytest.raises(ValueError, match="^y must hold whole numbers.* received 1.25"):
        ask(data=(X, late(1.25)))
    with pytest.raises(ValueError, match="^y must hold classes from 0 to 2.* received 7"):
        ask(data=(X, late(7)))
    with pytest.raises(ValueError, match="^y of held_out must hold whole numbers.* received 1.25"):
        ask(data=(X, Y), held_out=(X, late(1.25)))
    with pytest.raises(ValueError, match="^y of held_out must hold classes from 0 to 2.* received 7"):
        ask(data=(X, Y), held_out=(X, late(7)))
    with pytest.raises(
        ValueError, match="^y must hold one whole number .* rows of 3 columns, which cat"
    ):
        ask(data=(X, np.eye(3)[Y]))
    with pytest.raises(
        ValueError, match="^y must hold 3 columns .* one number an example, which sparse_"
    ):
        again(folder, checkpoints=built(), data=(X, Y), loss="categorical_crossentropy")
    ignoring = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    few = Y.copy()
    few[:5] = -1
    asked = given.read(given.checked(built(), (X, few), loss=ignoring))
    assert make._read(asked)[0].dimension == built().count_params()  # they are no mistake
    one = keras.Sequential([keras.Input((FEATURES,)), layers.Dense(1, "sigmoid")])
    with pytest.raises(ValueError, match="^y must hold numbers from 0 to 1, .* received -1"):
        again(folder, checkpoints=one, data=(X, 2 * (Y > 0) - 1), loss="binary_crossentropy")


def test_the_loss_is_guessed_and_said():
    one_hot, values = np.eye(3)[Y], X.sum(axis=1)
    sparse, categorical = "sparse_categorical_crossentropy", "categorical_crossentropy"
    softmax, sigmoid = layers.Dense(3, "softmax"), layers.Dense(1, "sigmoid")
    sure = keras.initializers.Constant(3.0)  # no row of it sums to 1
    logits = lambda n: layers.Dense(n, bias_initializer=sure)
    assert guess(softmax, Y)[0] == sparse and "of probabilities" in guess(softmax, Y)[2]
    assert guess(logits(3), Y)[0] == sparse and "of logits" in guess(logits(3), Y)[2]
    assert guess(logits(3), Y.astype(float)[:, None])[0] == sparse
    assert guess(softmax, one_hot)[0] == categorical
    assert guess(sigmoid, Y % 2)[0] == "binary_crossentropy" and "of probab" in guess(sigmoid, Y % 2)[2]
    assert guess(logits(1), values)[0] == "mean_squared_error"
    assert "of logits" in guess(logits(3), Y, loss=sparse)[2]
    assert guess(logits(1), values, loss="mae")[0] == "mae"
    with pytest.raises(ValueError, match="^loss must be given"):
        guess(logits(2), values)
    assert losses.loss_of(trained(0), of((X, Y)), None).loss is None


@pytest.mark.parametrize(
    ("name", "end", "y", "logits"),
    [
        ("binary_crossentropy", layers.Dense(5, "sigmoid"), np.eye(5)[Y], False),
        ("BinaryCrossentropy", layers.Dense(5), 1 - np.eye(5)[Y], True),
        ("bce", layers.Dense(1), Y % 2, True),
        ("BCE", layers.Dense(1, "sigmoid"), Y % 2, False),
        ("binary_focal_crossentropy", layers.Dense(1), Y % 2, True),
        ("BinaryFocalCrossentropy", layers.Dense(5, "sigmoid"), np.eye(5)[Y], False),
        ("SparseCategoricalCrossentropy", layers.Dense(3), Y, True),
        ("Sparse_Categorical_Crossentropy", layers.Dense(3, "softmax"), Y, False),
        ("CategoricalCrossentropy", layers.Dense(3), np.eye(3)[Y], True),
        ("categorical_focal_crossentropy", layers.Dense(3), np.eye(3)[Y], True),
        ("CategoricalFocalCrossentropy", layers.Dense(3, "softmax"), np.eye(3)[Y], False),
        ("categorical_crossentropy", layers.Dense(3, "sigmoid"), np.eye(3)[Y], True),
    ],
)
def test_logits_are_seen_whatever_the_cross_entropy_is_called(name, end, y, logits):
    keras.utils.set_random_seed(1)
    shown, from_logits, origin = guess(end, y, x=3 * X, loss=name)
    assert from_logits is logits and ("of logits" if logits else "of probabilities") in origin
    assert re.fullmatch("[a-z_]+_crossentropy", shown)  # that of Keras' function


# ---- the budget -------------------------------------------------------------------------------------


@generated(st.lists(st.floats(0, 1e3), min_size=1), st.floats(0, 1e4))
def test_a_level_takes_what_is_left(costs, seconds):
    found = budget.level(costs, seconds)
    total = sum(min(cost, found) for cost in costs)
    assert total == pytest.approx(min(sum(costs), seconds), rel=1e-6, abs=1e-6)


def test_what_costs_little_is_done_in_full():
    now, cost = [0.0], lambda full, least=0.0: budget.Cost(least, full)
    some = budget.Budget(100, clock=lambda: now[0])
    planned = some.share(cost(30), [])  # all of what is planned with
    assert 70 < planned < 100
    assert some.share(cost(5), [cost(10), cost(20)]) == pytest.approx(planned - 30)
    for one in (5, 1000):
        others = [cost(5 + 1000 - one), cost(1000)]
        assert some.share(cost(one), others) == pytest.approx((planned - 5) / 2)
    # What would come to nothing gets what it needs.
    assert 50 < some.share(cost(1000, 50), [cost(1000)] * 20) < planned
    now[0] = 200.0
    assert some.left == 0 and some.share(cost(1), [cost(2)]) == 0


def test_a_card_without_time_says_what_it_left_out(folder, tmp_path):
    found = again(folder, minutes=1e-3, out_dir=tmp_path, held_out=None)
    cut = {name for name, r in found.results.items() if "cut" in r}
    assert {"look-1", "rise-2", "curve", "phase"} <= cut and "fit" not in cut
    text = found.page.read_text()
    assert "Left out, and notes" in text and "the surface of a" in text and "Complete" in text


@pytest.mark.parametrize("error", [MemoryError("Unable to allocate 4 GiB"), MemoryError()])
def test_a_section_without_memory_is_left_out(error, folder, tmp_path, monkeypatch):
    def fails(*given):
        raise error

    monkeypatch.setattr(between, "mean", fails)
    found = again(folder, minutes=1e-3, out_dir=tmp_path, held_out=None)
    assert found.results["mean"]["cut"] == (str(error) or "MemoryError")
    assert "fit" in found.results and json.loads(found.json.read_text())["finished"]


def test_what_is_left_out_is_told_in_words():
    """Not as "0 s, and 0 s of the budget are for them"."""
    with pytest.raises(budget.Cut) as cut:
        budget.count(0.0, 0.004, 50, 1000, "steps")
    assert str(cut.value) == "50 steps would take 0.2 s, and none of the budget is left"
    with pytest.raises(budget.Cut, match="would take 20 s, and 1.5 s of the budget are left for that$"):
        budget.count(1.5, 0.4, 50, 1000, "steps")


def test_an_optimizer_and_a_model_are_told_without_numbers_that_keras_made_up():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    optimizers = keras.optimizers
    told = {
        "Adam, rate 0.001": optimizers.Adam(),
        "SGD, rate by CosineDecay": optimizers.SGD(schedule),
        "AdamW, rate 0.3": optimizers.LossScaleOptimizer(optimizers.AdamW(0.3)),
    }
    for words_of_it, optimizer in told.items():
        assert fit.optimizer_of(optimizer) == words_of_it
    for name, kind, shown in (
        ("sequential_10", "Sequential", "Sequential"),
        ("functional", "Functional", "Functional"),
        ("my_net_3", "MyNet", "MyNet"),
        ("small", "Sequential", "Sequential, called small"),
    ):
        assert words.model_name(name, kind) == shown


@pytest.mark.parametrize(
    ("error", "mc", "cka", "said"),
    [
        (
            0.0,
            -30000.0 / 1000,
            0.7,
            "mode connectivity of -1; here it is -30, 30 times as far from 0. Be",
        ),
        (
            30.0,
            0.1,
            0.6,
            "a training error of 0.1%; here it is 30%, 300 times as much. Beyond it lies ph",
        ),
        (
            0.05,
            0.0,
            0.9,
            "a training error of 0.1%; here it is 0.05%, 2 times less. Beyond it lies phase",
        ),
        (0.0, 0.0, 0.6, "a CKA of 0.563; here it is 0.6, 0.037 above. Beyond it lies phase IV-A"),
    ],
)
def test_the_nearest_boundary_is_a_sentence(error, mc, cka, said):
    found = phase.nearest(phases.phase(error, mc, cka))
    assert said in found and "e+" not in found


def test_a_boundary_without_a_ratio_is_none():
    assert phase.nearest(phases.phase(0.0, 0.0, np.nan)) == "none"
    assert phase.nearest(phases.phase(np.nan, 0.0)) == "none"


# ---- the verdict ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [(0.01, 0.02, "yes"), (-0.009, 0.0, "yes"), (-0.3, -0.2, "no"), (-0.02, 0.01, "unclear")],
)
def test_a_verdict_follows_from_the_interval(low, high, answer):
    gain = {"mean": (low + high) / 2, "low": low, "high": high, "best": 0}
    gain |= {"over_best": gain["mean"], "best_low": low, "best_high": high}
    found = {"gain": gain, "loss_gain": None, "loss": [0.5, 0.5], "where": "held out", "examples": 100}
    found["verdict"] = judging.verdict(found)
    assert found["verdict"]["answer"] == answer
    assert words.verdict_line(found).startswith(words.VERDICTS[answer])
    half = {name: value / 2 if name != "best" else value for name, value in gain.items()}
    by_loss = {**found, "gain": None, "loss_gain": half}
    by_loss["loss"] = [0.1, 0.1] if answer == "no" else [10.0, 10.0]
    by_loss["verdict"] = judging.verdict(by_loss)
    assert by_loss["verdict"]["answer"] == ("no" if answer == "no" else "yes")
    assert "loss" in words.verdict_line(by_loss)


def test_no_number_for_each_example_is_no_verdict():
    found = {"gain": None, "loss_gain": None, "loss": [1.0], "where": "held out", "examples": 3}
    found["verdict"] = judging.verdict(found)
    assert found["verdict"]["answer"] == "unclear" and "no number" in words.verdict_line(found)


# ---- other models -----------------------------------------------------------------------------------


def test_a_regression_has_no_accuracy(tmp_path):
    model = keras.Sequential([keras.Input((FEATURES,)), layers.Dense(1, name="only")])
    y = X @ np.array([1.0, -2.0, 0.5], "float32")
    found = wedges.card(model, (X, y), minutes=30, out_dir=tmp_path, say=lambda line: None)
    assert found.results["fit"]["accuracy"] == [None] and set(found.results) == {
        *("about", "fit", "curvature-1", "rise-1", "look-1")
    }
    features = np.c_[X, np.ones(N)].astype(np.float64)
    values = np.linalg.eigvalsh(2 * features.T @ features / N)[::-1]
    np.testing.assert_allclose(found.results["curvature-1"]["top"], values, rtol=1e-4)
    residual = features @ np.append(np.ravel(model.get_weights()[0]), 0) - y
    assert found.results["fit"]["loss"][0] == pytest.approx(np.mean(residual**2), rel=1e-5)
    assert [w["threshold"] for w in found.results["rise-1"]["widths"]] == ["twice the loss"]
    assert "accuracy</th>" not in found.page.read_text()


def test_penalties_of_regularisers_are_told_beside_the_loss(tmp_path):
    """Keras' evaluation adds them; the page says that its loss, as all else on it, has them not."""
    models_of_mine = {}
    for name in "ab":
        layer = layers.Dense(1, name="only", kernel_regularizer=keras.regularizers.L2(0.1))
        model = keras.Sequential([keras.Input((FEATURES,)), layer])
        model.compile("adam", "mse")
        models_of_mine[name] = model
    y = X @ np.array([1.0, -2.0, 0.5], "float32")
    asked = {"minutes": 1e-3, "out_dir": tmp_path, "say": lambda line: None}
    found = wedges.card(models_of_mine, (X, y), **asked)
    fitted, text = found.results["fit"], found.page.read_text()
    for k, model in enumerate(models_of_mine.values()):
        penalty = 0.1 * np.sum(np.square(model.get_weights()[0]))
        assert fitted["penalty"][k] == pytest.approx(penalty, rel=1e-5)
        whole = model.evaluate(X, y, verbose=0)
        assert fitted["loss"][k] + fitted["penalty"][k] == pytest.approx(whole, rel=1e-5)
    assert fitted["loss_has_penalty"] is False and text.count("without the regularisers' penalties") == 1
    assert words.number(fitted["penalty"][0]) in text
    plain = wedges.card(built(), (X, Y), loss=SPARSE, **asked)
    assert plain.results["fit"]["penalty"] is None and "penalties" not in plain.page.read_text()


# ---- the command ------------------------------------------------------------------------------------


def test_the_command_lists_and_helps_without_tensorflow(capsys):
    code = "import sys; from wedges import __main__ as m; m.main([]); assert 'keras' not in sys.modules"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert re.search(r"^  card +\S", run.stdout, re.MULTILINE)
    with pytest.raises(SystemExit) as ended:
        command.main(["card", "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0 and max(map(len, text.splitlines())) <= 100
    for flag in (
        "--data",
        "--held_out",
        "--loss",
        "--minutes",
        "--out_dir",
        "--examples",
        "--seed",
        "--model",
    ):
        assert flag in text
    for group in ("models:", "examples:", "the run:"):
        assert f"\n{group}\n" in text
    assert "python -m wedges card a.keras b.keras --data=mine.npz" in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a.keras", "--dta=x"], "unknown flag --dta. Did you mean --data?"),
        (["a.keras"], "--data must be a .npz file"),
        (["--data=x.npz"], "give a checkpoint"),
        (["a.keras", "--data=x", "--minutes=soon"], "--minutes must be a number; received 'soon'"),
        (["a.keras", "--data=x", "--held-out=y"], "unknown flag --held-out. Did you mean --held_out?"),
    ],
)
def test_flags_that_will_not_do(given, message, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["card", *given])
    shown = capsys.readouterr().err
    assert ended.value.code == 2 and message in shown and len(shown.splitlines()) == 1


@pytest.mark.parametrize(
    "line", ["a.keras --data=mine.npz gone.keras", "--data mine.npz a.keras gone.keras"]
)
def test_flags_may_stand_between_checkpoints(line, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert command.main(["card", *line.split()]) == 2
    assert "checkpoints must be files that are there; received 'gone.keras'" in capsys.readouterr().err


def test_files_that_cannot_be_read_are_named_without_another_folder(folder, monkeypatch, capsys):
    """The folder of the card has nothing to do with it."""
    usual = [str(folder / "a.keras"), f"--data={folder / 'mine.npz'}"]
    for path, flag in ((folder / "mine.npz", "--data"), (folder / "a.keras", "checkpoints")):

        def fails(name, mode, path=path):
            if pathlib.Path(name) == path:
                raise PermissionError(errno.EACCES, "Permission denied", str(name))
            return open(name, mode)

        monkeypatch.setattr(given, "open", fails, raising=False)
        assert command.main(["card", *usual, f"--out_dir={folder / 'cards'}"]) == 2
        line = capsys.readouterr().err
        said = f"wedges card: {flag} must be a file that can be read; received {str(path)!r}: Permission"
        assert line.startswith(said) and "out_dir" not in line and line.count("\n") == 1


def test_only_errors_about_the_folder_suggest_another_one(tmp_path):
    of = lambda path: command._is_of(OSError(errno.EACCES, "no", path), str(tmp_path / "cards"))
    assert of(str(tmp_path / "cards")) and of(str(tmp_path)) and of(str(tmp_path / "cards" / "a" / "b"))
    assert of(None) and not of(str(tmp_path / "mine.npz")) and not of("/elsewhere/cards")


def test_what_is_held_out_in_the_same_file_is_refused_in_a_line(tmp_path):
    """As the rest of the file is: objects, and a damaged member."""
    objects = np.array([{"a": 1}, None], object)
    path = arrays(tmp_path, x=X, y=Y, x_test=X[:2], y_test=objects)
    with pytest.raises(
        ValueError, match="^held_out must be a .npz file of numbers; .* y_test holds obj"
    ):
        reading.held_out_in(path)
    path = pathlib.Path(arrays(tmp_path, x=X, y=Y, x_test=np.full(5000, 7.0), y_test=Y))
    data, mark = bytearray(path.read_bytes()), np.full(5000, 7.0).tobytes()[:800]
    data[data.index(mark) + 400] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="^held_out must be a whole .npz file .* x_test cannot be read"):
        reading.held_out_in(path)


def test_another_command_is_refused(capsys):
    assert command.main(["crd"]) == 2 and "Did you mean card?" in capsys.readouterr().err


EARLY = {
    "a.keras gone.keras --data=mine.npz": "checkpoints must be files that are there; received 'gone.ker",
    "a.keras . --data=mine.npz": "checkpoints must be files; received '.', a folder.",
    "a.keras wide.keras --data=mine.npz": "a.keras and wide.keras must be of one architecture; receive",
    "cut.keras --data=mine.npz": "cut.keras must be a whole model as model.save writes it; received",
    "w.weights.h5 --data=mine.npz": "--model must be module:function, which builds the model that w.",
    "a.keras --data=gone.npz": "--data must be a file that is there, or module:function; received 'g",
    "a.keras --data=a.keras": "--data must hold arrays called x and y, ",
    "a.keras --data=odd.npz": "--data must hold as many x as y, at least two; received 61 and 60.",
    "a.keras --data=mine.npz --held_out=odd.npz": "--held_out must hold as many x as y, at least two",
    "a.keras --data=no_such_module:f": "--data must be module:function, importable from here; received",
    "a.keras --data=mine.npz --model=built": "--model must be module:function, importable from here; re",
    "a.keras --data=mine.npz --minutes=0": "--minutes must be a finite number above 0; received 0.0.",
    "a.keras --data=mine.npz --examples=0": "--examples must be a whole number, at least 2; received 0.",
    "a.keras --data=mine.npz --seed=-1": "--seed must be a whole number from 0",
    "a.keras --data=mine.npz --loss=hube": "--loss must be one of Keras', e.g. mean_squared_error or",
    "a.keras --data=mine.npz --out_dir=a.keras": "a.keras: Not a folder; --out_dir takes another folder",
}


def test_what_files_tell_is_refused_in_one_line_before_tensorflow_starts(folder, tmp_path):
    for name in ("a.keras", "b.keras", "mine.npz", "test.npz"):
        shutil.copy(folder / name, tmp_path)
    np.savez(tmp_path / "odd.npz", x=X, y=Y[1:])
    saved(built(5), tmp_path / "wide.keras")
    (tmp_path / "cut.keras").write_bytes((tmp_path / "a.keras").read_bytes()[:3000])
    (tmp_path / "w.weights.h5").write_bytes(b"")
    before = set(tmp_path.iterdir())
    code = f"""
import sys
from wedges import __main__ as command
for given in {list(EARLY)}:
    assert command.main(["card", *given.split()]) == 2, given
assert not {{"tensorflow", "keras"}} & set(sys.modules)
"""
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=tmp_path, env=_here(), capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout, done.stderr
    for line, (flags, message) in zip(done.stderr.splitlines(), EARLY.items(), strict=True):
        assert line.startswith(f"wedges card: {message}"), (flags, line)
    assert set(tmp_path.iterdir()) == before


def test_a_finished_card_is_found_before_tensorflow_starts(card, folder):
    given = ["a.keras", "b.keras", "--data=mine.npz", "--held_out=test.npz", "--minutes=30"]
    code = f"""
import sys
from wedges import __main__ as command
assert command.main(["card", *{given}]) == 0
assert not {{"tensorflow", "keras"}} & set(sys.modules)
"""
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=folder, env=_here(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{card.page.relative_to(folder)}\n"
    asked = lambda **other: {"held_out": folder / "test.npz", "minutes": 30.0, **other}
    of = lambda name, **other: given_card(folder, name, **asked(**other))
    assert of("b")[0] == card.page
    # Anything else is another card.
    assert of("a") is None and of("b", seed=1) is None and of("b", loss="mse") is None
    assert of("b", minutes=29.0) is None and of("b", held_out=folder / "mine.npz") is None


def given_card(folder, second, **settings):
    checkpoints = [folder / "a.keras", folder / f"{second}.keras"]
    return given.finished(
        given.checked(checkpoints, folder / "mine.npz", out_dir=folder / "cards", **settings)
    )


def test_every_loss_of_keras_passes_the_look_at_its_name():
    from keras.src.losses import ALL_OBJECTS_DICT

    for name in (*ALL_OBJECTS_DICT, "sparse_categorical_crossentropy", "Binary_Crossentropy"):
        given._check_loss(name)
    with pytest.raises(ValueError, match=r"received 'hube'. Did you mean huber\?$"):
        given._check_loss("hube")
    with pytest.raises(ValueError, match=r"received 'foo'.$"):
        given._check_loss("foo")


def test_a_folder_that_cannot_be_made_is_named_in_one_line(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    given = [str(folder / "a.keras"), f"--data={folder / 'mine.npz'}", f"--out_dir={tmp_path / 'file'}"]
    assert command.main(["card", *given]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert (
        line.startswith("wedges card: ") and "file" in line and "--out_dir takes another folder" in line
    )


def _here():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
def test_a_large_model_keeps_to_its_memory(tmp_path):
    """MobileNetV2 (2.3 million weights, batch norm), images of 96 x 96: below 4 GB, with curvature.

    On 512 images and in 5 minutes the same took 268 s on two cores (2026-11-27).
    """
    code = """
import resource, sys
import wedges, keras, numpy as np
keras.utils.set_random_seed(0)
model = keras.applications.MobileNetV2(input_shape=(96, 96, 3), weights=None, classes=10)
rng = np.random.default_rng(0)
data = rng.random((64, 96, 96, 3), dtype=np.float32), rng.integers(0, 10, 64)
card = wedges.card(model, data, minutes=2, out_dir=sys.argv[1])
assert "top" in card.results["curvature-1"], card.results
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    run = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(run, cwd=ROOT, env=_here(), stdout=subprocess.PIPE, text=True, check=True)
    assert int(done.stdout.split()[-1]) < 4 * 2**20  # KiB
