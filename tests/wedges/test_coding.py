"""Quantised and coded weights: what comes back, its error, the length, streams that are none."""

import bz2
import lzma
import zlib

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import layers

import wedges
from wedges import coding

few = settings(max_examples=40, deadline=None, derandomize=True, database=None)
arrays = hnp.arrays(
    st.sampled_from([np.float32, np.float64]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    elements=st.floats(-1e4, 1e4, width=32),
)


# ---- the quantiser ----------------------------------------------------------------------------------


@few
@given(arrays, st.integers(2, 16))
def test_a_code_is_the_nearest_multiple_of_the_step(w, bits):
    found = coding.quantize(w, bits)
    levels = 2 ** (bits - 1) - 1
    assert found.codes.shape == w.shape and found.codes.dtype == (np.int8 if bits <= 8 else np.int16)
    assert np.abs(found.codes.astype(int)).max(initial=0) <= levels
    off = np.abs(w.astype(float) - found.step * found.codes.astype(float))
    assert off.max(initial=0) <= found.step * (0.5 + 1e-9)
    assert not found.codes[w == 0].any()
    np.testing.assert_array_equal(coding.quantize(-w, bits).codes, -found.codes)
    if w.any():
        assert np.abs(found.codes.astype(int)).max() == levels
        assert found.step == pytest.approx(np.abs(w).max() / levels)


def test_two_bits_leave_three_values():
    found = coding.quantize([1.0, 0.6, 0.4, 0.0, -0.2, -1.0], 2)
    assert found.codes.tolist() == [1, 1, 0, 0, 0, -1] and found.step == 1


@few
@given(arrays, st.integers(2, 16))
def test_what_is_quantised_already_stays(w, bits):
    once = coding.quantize(w, bits)
    again = coding.quantize(once.step * once.codes.astype(float), bits)
    np.testing.assert_array_equal(again.codes, once.codes)


# ---- the stream -------------------------------------------------------------------------------------


@few
@given(st.lists(arrays, max_size=4), st.integers(2, 16), st.sampled_from(coding.CODERS))
def test_the_quantised_weights_come_back_from_the_stream_bit_for_bit(weights, bits, coder):
    found = coding.decode(coding.encode(weights, bits, coder))
    assert len(found) == len(weights)
    for w, back in zip(weights, found, strict=True):
        assert back.dtype == w.dtype and back.shape == w.shape
        known = w
        if w.ndim >= 2:
            codes, step = coding.quantize(w, bits)
            known = (codes * step).astype(w.dtype)
        np.testing.assert_array_equal(back, known)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_every_floating_dtype_comes_back(dtype):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, dtype=dtype)])
    model.layers[0].bias.assign([0.5, -0.25, 2.0, 0.0])
    found = coding.decode(coding.encode(model, 16))
    for w, back in zip(model.get_weights(), found, strict=True):
        assert back.dtype.name == dtype
        np.testing.assert_allclose(back.astype(float), w.astype(float), atol=0.01)
    np.testing.assert_array_equal(found[1], model.get_weights()[1])


def test_counters_in_whole_numbers_are_kept():
    """As those of a layer that has been adapted to data."""
    scale = layers.Normalization()
    scale.adapt(np.arange(6.0).reshape(3, 2))
    model = keras.Sequential([keras.Input((2,)), scale, layers.Dense(2)])
    found = coding.decode(coding.encode(model))
    for back, w in zip(found, model.get_weights(), strict=True):
        assert back.dtype == np.asarray(w).dtype and back.shape == np.shape(w)
    model.set_weights(found)
    counters = [np.array([-3, 2], k) for k in ("int8", "int16", "int32", ">i8")] + [np.uint64(2**63)]
    for back, w in zip(coding.decode(coding.encode(counters)), counters, strict=True):
        np.testing.assert_array_equal(back, w)
        assert back.dtype.name == w.dtype.name


@pytest.mark.parametrize("bits", [2, 8, 9, 16])
def test_the_largest_and_the_smallest_numbers_come_back(bits):
    limits = np.finfo(np.float64)
    for value in (limits.max, limits.smallest_subnormal, 3 * limits.smallest_subnormal):
        w = np.array([[value, 0.0], [-value, 0.0]])
        (found,) = coding.decode(coding.encode([w], bits))
        half = coding.quantize(w, bits).step / 2
        assert np.isfinite(found).all() and np.abs(found - w).max() <= half
        assert found.any() and not found[:, 1].any()


def test_a_model_runs_on_what_comes_back():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3),
        ]
    )
    x = np.random.default_rng(0).normal(size=(5, 6, 6, 1))
    model.layers[1].moving_mean.assign([0.1, 0.2, 0.3, 0.4])
    before, kernels = model.predict(x, verbose=0), [w for w in model.get_weights() if w.ndim > 1]
    model.set_weights(coding.decode(coding.encode(model, 12)))
    np.testing.assert_allclose(model.predict(x, verbose=0), before, atol=0.02)
    assert [len(np.unique(w)) <= 2**12 for w in model.get_weights() if w.ndim > 1] == [True] * len(
        kernels
    )
    np.testing.assert_allclose(model.layers[1].moving_mean, [0.1, 0.2, 0.3, 0.4], rtol=1e-6)


def test_the_length_is_that_of_the_header_and_two_coded_blocks():
    """By hand, from the format as it is written down."""
    w, b = np.float32([[1.27, -0.64, 0.0], [0.01, 0.0, 0.0]]), np.float32([0.5, 0.25, 0.0])
    codes, kept = np.int8([127, -64, 0, 1, 0, 0]).tobytes(), b.tobytes()
    header = b"wdg1" + bytes([1, 8]) + (2).to_bytes(4, "little")
    header += bytes([2, 2]) + (2).to_bytes(4, "little") + (3).to_bytes(4, "little")
    header += np.float64(np.float64(np.float32(1.27)) / 127).tobytes()
    header += bytes([2, 1]) + (3).to_bytes(4, "little")
    coded = bz2.compress(codes, 9)
    known = header + len(coded).to_bytes(8, "little") + coded + bz2.compress(kept, 9)
    assert coding.encode([w, b], 8, "bz2") == known
    assert wedges.compressed_size([w, b], 8, "bz2") == len(known)


def test_each_coder_is_at_its_strongest():
    w = np.random.default_rng(0).normal(size=(50, 40)).astype(np.float32)
    codes = coding.quantize(w).codes.tobytes()
    header = 10 + 2 + 8 + 8 + 8
    empty = {"zlib": zlib.compress(b"", 9), "bz2": bz2.compress(b"", 9)}
    empty["lzma"] = lzma.compress(b"", preset=9 | lzma.PRESET_EXTREME)
    long = {"zlib": zlib.compress(codes, 9), "bz2": bz2.compress(codes, 9)}
    long["lzma"] = lzma.compress(codes, preset=9 | lzma.PRESET_EXTREME)
    for coder in coding.CODERS:
        known = header + len(empty[coder]) + len(long[coder])
        assert wedges.compressed_size([w], coder=coder) == known


def test_zeros_and_fewer_bits_make_it_shorter_but_not_than_its_entropy_allows():
    rng = np.random.default_rng(0)
    w = rng.normal(size=(200, 100)).astype(np.float32)
    sparse = np.where(rng.random(w.shape) < 0.9, 0, w).astype(np.float32)
    for coder in coding.CODERS:
        sizes = [wedges.compressed_size([a], b, coder) for a, b in ((w, 8), (w, 4), (sparse, 8))]
        assert sizes[0] > sizes[1] and sizes[0] > 3 * sizes[2]
        # Of independent numbers no coder does better than their entropy.
        for a, b, size in ((w, 8, sizes[0]), (sparse, 8, sizes[2])):
            assert size > coding.entropy(coding.quantize(a, b).codes) * a.size / 8


@few
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_the_entropy_is_that_of_the_formula(codes):
    p = [codes.count(v) / len(codes) for v in set(codes)]
    assert coding.entropy(codes) == pytest.approx(-sum(q * np.log2(q) for q in p), abs=1e-12)


# ---- bad input --------------------------------------------------------------------------------------

W = [np.ones((2, 2), np.float32)]


@pytest.mark.parametrize("bits", [1, 17, 0, 8.0, None])
def test_bits_out_of_range_are_named(bits):
    for call in (lambda: wedges.compressed_size(W, bits), lambda: coding.quantize(W[0], bits)):
        with pytest.raises(ValueError, match="^bits must be a whole number from 2 to 16; received"):
            call()


def test_other_bad_input_is_one_line():
    with pytest.raises(ValueError, match="^coder must be 'zlib', 'bz2' or 'lzma'; received 'gzip'"):
        wedges.compressed_size(W, coder="gzip")
    with pytest.raises(ValueError, match=r"^weights\[0\] must be floating numbers, .*; received int8"):
        wedges.compressed_size([np.ones((3, 3), np.int8)])
    with pytest.raises(ValueError, match=r"^weights\[1\] must be finite; received NaN or infinity"):
        wedges.compressed_size([W[0], np.float32([np.nan])])
    for model in ("model.keras", W[0], 3):
        with pytest.raises(ValueError, match="^model must be a keras.Model or a list of arrays"):
            wedges.compressed_size(model)
    with pytest.raises(ValueError, match="is not built, so it has no weights yet"):
        wedges.compressed_size(keras.Sequential([layers.Dense(2)]))
    with pytest.raises(ValueError, match="^codes must be one number or more"):
        coding.entropy([])


def test_a_layer_whose_weights_are_not_floating_is_named():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
    model.layers[0].quantize("int8")
    with pytest.raises(
        ValueError, match="^weight '.*kernel' must be floating numbers, .*; received int8"
    ):
        wedges.compressed_size(model)


@pytest.mark.parametrize("coder", coding.CODERS)
def test_a_stream_that_is_not_whole_is_refused(coder):
    stream = coding.encode([np.ones((30, 30), np.float32), np.ones(3, np.float32)], 8, coder)
    words = "^stream must be one that encode has made, whole; received another"
    for damaged in (b"", stream[:3], stream[:20], stream[:-1], b"x" + stream, stream + b"x", 7):
        with pytest.raises(ValueError, match=words):
            coding.decode(damaged)
