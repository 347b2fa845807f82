"""Grids of width and batch size: released numbers, answers by hand, claims that can fail."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wedges
from reproductions.bench.claims import Claim
from reproductions.common import released, taxonomy, taxonomy_claims
from reproductions.common.taxonomy import Grid

NAN = np.nan


def grid(rows, **columns):
    """A grid of [(width, bs, test_acc, train_acc, mc, cka)], other columns by name; NaN without."""
    width, bs, test, train, mc, cka = np.array(rows, dtype=float).reshape(-1, 6).T
    missing = np.full(len(width), NAN)
    others = {name: missing for name in ("train_loss", "log_trace", "log_top", "l2")}
    given = {name: np.array(column, dtype=float) for name, column in columns.items()}
    return Grid(width, bs, test, train, mc=mc, cka=cka, **{**others, **given})


# Narrow and wide, hot and cold: one cell in each of the four corners, and none between.
CORNERS = grid(
    [
        (1, 16, 40, 80, -9, 0.2),
        (1, 64, 50, 100, -8, 0.3),
        (9, 16, 60, 90, 5, 0.4),
        (9, 64, 70, 100, 0, 0.5),
    ],
    train_loss=[0.6, 0.0, 0.3, 0.0],
    log_trace=[8, 2.0, 8, 2.1],
    log_top=np.log([80, 10, 60, 3]),
    l2=[7, 7, 7, 7],
)
EMPTY = CORNERS.only(np.full(4, False))


# ---- released numbers -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def numbers():
    return taxonomy_claims.judge_released()


@pytest.mark.parametrize("id", taxonomy_claims.KNOWN)
def test_every_known_number_is_reproduced_to_its_last_digit(numbers, id):
    text = taxonomy_claims.KNOWN[id]
    digits = len(text.partition(".")[2])
    assert numbers[id] == pytest.approx(float(text), rel=0, abs=0.5 * 10.0**-digits + 1e-9)


def test_all_thirteen_claims_have_known_numbers_and_words(numbers):
    thirteen = [f"C{i}" for i in range(1, 14)]
    assert {id.partition(".")[0] for id in taxonomy_claims.KNOWN} == set(thirteen)
    assert [s.id for s in taxonomy_claims.RELEASED] == thirteen
    agreement = taxonomy_claims.agreement(numbers)
    assert list(agreement) == thirteen and max(agreement.values()) <= 1


def test_agreement_counts_in_halves_of_the_last_digit_and_nothing_passes_by_being_missing(numbers):
    exact = {id: float(text) for id, text in taxonomy_claims.KNOWN.items()}
    assert set(taxonomy_claims.agreement(exact).values()) == {0.0}
    off = taxonomy_claims.agreement({**exact, "C12.rho": 0.54, "C13.decay": 89.94})
    assert off["C12"] == pytest.approx(2) and off["C13"] == pytest.approx(0.8) and off["C1"] == 0
    del exact["C10.columns"]
    lost = taxonomy_claims.agreement({**exact, "C12.rho": NAN})
    assert lost["C10"] == lost["C12"] == np.inf and lost["C13"] == 0


# Spearman's correlations with test accuracy: all cells, widths from 8, converged, mc < -1, mc > 1.
DECAY = {
    "width": (0.90, 0.63, 0.72, 0.97, 0.85),
    "log_top": (-0.90, -0.74, -0.84, -0.91, -0.03),
    "log_trace": (-0.90, -0.79, -0.90, -0.86, 0.38),
    "cka": (0.89, 0.91, 0.96, 0.62, -0.36),
    "|mc|": (-0.89, -0.79, -0.76, -0.61, -0.92),
    "mc": (0.66, 0.14, 0.76, 0.61, -0.92),
    "train_loss": (-0.83, -0.53, -0.44, -0.89, -0.99),
    "l2": (0.53, -0.07, 0.30, 0.83, 0.56),
    "bs": (-0.02, -0.04, -0.79, 0.04, 0.52),
}


@pytest.mark.parametrize("measure", DECAY)
def test_rank_correlations_of_the_decayed_grid_in_its_regions(measure):
    decay = taxonomy.released("decay")
    regions = taxonomy.regions(decay)
    masks = [regions["all"], decay.width >= 8, *(regions[r] for r in ("converged", "mc < -1", "mc > 1"))]
    assert [int(mask.sum()) for mask in masks[2:]] == [92, 89, 26]
    rho = [taxonomy.ranks(decay.only(mask))[measure] for mask in masks]
    np.testing.assert_allclose(rho, DECAY[measure], atol=0.00501)


CONSTANT = {
    ("clean", 10): (0.77, -0.83, 0.14, -0.45, -0.68, -0.88, 0.88),
    ("clean", 2): (0.94, -0.79, 0.50, -0.79, -0.78, -0.62, 0.83),
    ("clean", 1): (0.97, -0.79, 0.71, -0.85, -0.82, -0.63, 0.86),
    ("noise", 10): (0.74, -0.49, 0.49, -0.65, -0.85, -0.57, 0.78),
    ("noise", 2): (0.96, -0.84, 0.54, -0.85, -0.84, -0.71, 0.79),
    ("noise", 1): (0.98, -0.83, 0.69, -0.87, -0.85, -0.75, 0.88),
}


@pytest.mark.parametrize("which", CONSTANT, ids=str)
def test_rank_correlations_of_the_grids_at_constant_rate(which):
    rho = taxonomy.ranks(taxonomy.released(*which))
    names = ("cka", "|mc|", "mc", "log_trace", "log_top", "train_loss", "width")
    np.testing.assert_allclose([rho[name] for name in names], CONSTANT[which], atol=0.00501)


def part(which, widths=(3, 6, 11, 23)):
    whole = taxonomy.released(*which)
    few = np.isin(whole.width, widths) & np.isin(whole.bs, (16, 32, 64, 128, 256))
    return whole.only(few)


PARTS = {
    ("clean", 1): (0.91, -0.88, 0.81, -0.62),
    ("noise", 1): (0.97, -0.95, 0.78, -0.76),
    ("clean", 2): (0.95, -0.84, 0.47, -0.75),
    ("noise", 2): (0.94, -0.87, 0.57, -0.82),
}


@pytest.mark.parametrize("which", PARTS, ids=str)
def test_rank_correlations_of_twenty_cells(which):
    small = part(which)
    assert small.cells == 20
    rho = taxonomy.ranks(small)
    found = [rho[name] for name in ("cka", "|mc|", "mc", "log_trace")]
    np.testing.assert_allclose(found, PARTS[which], atol=0.00501)


def test_claims_about_two_grids_find_the_known_numbers_of_5000_images():
    whole = taxonomy_claims.judge_grids(
        *(taxonomy.released(g, d) for d in (1, 2) for g in ("clean", "noise"))
    )
    twenty = taxonomy_claims.judge_grids(part(("clean", 1)), part(("noise", 1)))
    known = {"R6.clean.factor": 13, "R6.noise.factor": 22, "R8.clean": 0, "R8.noise": 0}
    known |= {
        "R8.clean.cells": 10,
        "R8.noise.cells": 12,
        "R11.mean": 8,
        "R10.hurts.widths": 4,
        "R11.clean.pairs": 302,
    }
    assert {id: round(whole[id]) for id in known} == known
    assert whole["R7.clean"] == pytest.approx(0.96, abs=0.005)
    assert whole["R7.noise"] == pytest.approx(0.98, abs=0.005)
    assert whole["R10.clean.gap"] == pytest.approx(4.597 + 2.584, abs=0.001)
    assert whole["R10.noise.gap"] == pytest.approx(7.012 + 0.029, abs=0.001)
    assert whole["R11.share"] == pytest.approx(0.99, abs=0.005)
    assert whole["R10.hurts.clean"] == pytest.approx(-9.2, abs=0.05)
    assert whole["R10.hurts.noise"] == pytest.approx(-6.8, abs=0.05)
    assert twenty["R2.clean"] == pytest.approx(0.91, abs=0.005)
    assert twenty["R4.noise"] == pytest.approx(0.95 - 0.78, abs=0.01)
    assert (twenty["R5.clean.bs"], twenty["R5.clean.narrow"]) == (256, pytest.approx(-42.6, abs=0.05))


def test_claims_about_two_grids_hold_on_the_release_and_on_twenty_cells_of_it():
    grids = [taxonomy.released(g, d) for d in (1, 2) for g in ("clean", "noise")]
    few = [part(("clean", 1)), part(("noise", 1)), *(part((g, 2), (3, 6)) for g in ("clean", "noise"))]
    for numbers in (taxonomy_claims.judge_grids(*grids), taxonomy_claims.judge_grids(*few)):
        assert failing(numbers) == set()


def test_a_slice_that_was_not_released_is_refused():
    with pytest.raises(ValueError, match="grid must be .*clean.*received 'blurred'"):
        taxonomy.released("blurred")
    with pytest.raises(ValueError, match="data must be a whole number from 1 to 10; received 11"):
        taxonomy.released("clean", 11)
    with pytest.raises(ValueError, match="data must be a whole number from 10 to 10; received 2"):
        taxonomy.released("decay", 2)


def test_rows_without_a_test_accuracy_are_dropped_and_others_are_kept():
    decay = taxonomy.released("decay")
    assert decay.cells == 182 and len(released.taxonomy("decay")["bs"]) == 210
    assert np.isnan(decay.cka).sum() == 2 and not np.isnan(decay.mc).any()
    assert not {19, 27} & set(decay.bs) and decay.mc_error is None


# ---- phases -----------------------------------------------------------------------------------------


def test_phases_of_hand_made_cells():
    cells = [
        (1, 1, 10, 99.8, -1.1, 0.1),  # I
        (1, 2, 20, 99.8, -1.0, 0.1),  # II, on the border
        (1, 3, 30, 99.9, -1.1, 0.1),  # III, just converged
        (1, 4, 40, 100, -1.0, 0.2),  # IV-A, on the border
        (1, 5, 50, 100, 0.0, 0.3),  # IV-B, at the median of 0.2, 0.3 and 0.4
        (1, 6, 60, 100, 1.0, 0.4),  # IV-B
        (1, 7, 70, 100, 1.1, 0.9),  # none: an end failed
        (1, 8, 80, NAN, 0, 0.9),  # none: not known
        (1, 9, 90, 100, NAN, 0.9),
        (1, 9, 95, 100, 0, NAN),
    ]
    phases = ["I", "II", "III", "IV-A", "IV-B", "IV-B", "", "", "", ""]
    assert taxonomy.phases(grid(cells)).tolist() == phases
    means = {"I": (10, 1), "II": (20, 1), "III": (30, 1), "IV-A": (40, 1), "IV-B": (55, 2)}
    assert taxonomy.accuracy_by_phase(grid(cells)) == means


def test_the_thresholds_are_those_of_the_library():
    library = wedges.phases.Thresholds()
    assert library.error == pytest.approx(100 - taxonomy.CONVERGED)
    assert (library.poor, library.unconverged) == (-taxonomy.CONNECTED, taxonomy.CONNECTED)


def test_a_phase_without_cells_has_no_accuracy():
    for accuracy, cells in taxonomy.accuracy_by_phase(EMPTY).values():
        assert np.isnan(accuracy) and cells == 0
    assert taxonomy.best(EMPTY) is None and taxonomy.best(CORNERS) == 3


def test_cells_of_equal_similarity_are_all_in_the_more_similar_phase():
    cells = [(1, bs, 50, 100, 0, 0.5) for bs in (1, 2, 3)]
    assert taxonomy.phases(grid(cells)).tolist() == ["IV-B"] * 3


# ---- rank correlations ------------------------------------------------------------------------------


def test_ranks_of_the_corners_by_hand():
    rho = taxonomy.ranks(CORNERS)
    assert rho["cka"] == pytest.approx(1) and rho["|mc|"] == pytest.approx(-1)
    assert rho["mc"] == pytest.approx(1 - 6 * 2 / 60)  # ranks 1, 2, 4, 3 against 1, 2, 3, 4
    assert np.isnan(rho["l2"])  # the same everywhere
    assert rho["width"] == pytest.approx(2 / np.sqrt(5))  # ties share their mean rank
    within = taxonomy.ranks_within_widths(CORNERS, least=2)
    assert within["bs"] == pytest.approx(1) and within["|mc|"] == pytest.approx(-1)
    assert np.isnan(within["width"])
    assert np.isnan(taxonomy.ranks_within_widths(CORNERS)["bs"])  # two cells rank perfectly


@given(st.lists(st.tuples(*[st.integers(-20, 20)] * 2), min_size=3, max_size=12))
def test_a_monotone_transform_leaves_rank_correlations_as_they_are(pairs):
    x, y = np.array(pairs, dtype=float).T
    rho = taxonomy.rank(x, y)
    np.testing.assert_allclose(taxonomy.rank(np.exp(x / 5), y**3), rho, atol=1e-12)
    np.testing.assert_allclose(taxonomy.rank(-x, y), -rho, atol=1e-12)
    with_gaps = np.append(x, [NAN, 3.0]), np.append(y, [5.0, NAN])
    np.testing.assert_allclose(taxonomy.rank(*with_gaps), rho, atol=1e-12)


def test_regions_leave_out_what_is_not_known():
    cells = grid([(1, 16, 50, NAN, -5, 0.1), (1, 32, 50, 90, NAN, 0.2), (1, 64, 50, 100, 2, 0.2)])
    found = {name: mask.tolist() for name, mask in taxonomy.regions(cells).items()}
    assert found["not converged"] == [False, True, False]
    assert found["converged"] == found["mc > 1"] == [False, False, True]
    assert found["mc < -1"] == [True, False, False] and found["all"] == [True] * 3
    assert not np.any([found[f"phase {name}"] for name in taxonomy.PHASES])


# ---- comparisons ------------------------------------------------------------------------------------


def test_pairs_of_equal_sharpness():
    pairs = taxonomy.matched_sharpness(CORNERS)
    assert pairs.first.tolist() == [1] and pairs.second.tolist() == [3]
    assert pairs.gain.tolist() == [20] and pairs.share == 1 and pairs.mean == 20
    unlike = taxonomy.matched_sharpness(CORNERS, within=0.09)
    assert len(unlike.gain) == 0 and np.isnan(unlike.share) and np.isnan(unlike.mean)


def test_pairs_take_every_partner_and_no_tie_for_a_gain():
    rows = [(1, b, a, 100, mc, 0.5) for b, a, mc in ((1, 50, -4), (2, 60, -9), (3, 60, 0), (4, 40, 0))]
    rows += [(1, 5, 99, 100, -3, 0.5), (1, 6, 99, 99, 0, 0.5)]  # mc between, and not converged
    pairs = taxonomy.matched_sharpness(grid(rows, log_trace=[3, 3, 3.1, 3.1, 3, 3]))
    assert sorted(pairs.gain.tolist()) == [-20, -10, 0, 10]
    assert pairs.share == 0.25 and pairs.mean == -5


def test_contrast_needs_cells_of_both_kinds_at_a_width():
    found = taxonomy.contrast(CORNERS)
    assert [column.tolist() for column in found] == [[1, 9], [10, 10], [-8, 0]]
    rows = [(1, 1, 50, 90, 0, 0), (1, 2, 45, 95, 0, 0), (1, 3, 40, 100, -7, 0), (1, 4, 30, 100, -9, 0)]
    rows += [(2, 1, 50, 90, 0, 0), (3, 1, 50, 100, 0, 0), (4, 1, 50, NAN, 0, 0), (4, 2, 50, 100, 0, 0)]
    found = taxonomy.contrast(grid(rows))
    assert [column.tolist() for column in found] == [[1], [-10], [-7]]
    assert [len(column) for column in taxonomy.contrast(EMPTY)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("values", "depth", "at"),
    [
        ([1, 2, 3], 0, None),
        ([3, 1, 2], 1, 1),
        ([9, 1, 5, 4, 6], 5, 1),  # to the lower of the peaks on the two sides, 6
        ([5, 4, 7, 1, 6], 5, 3),
        ([5, 5, 5], 0, None),
        ([5], 0, None),
        ([], 0, None),
    ],
)
def test_a_dip_is_as_deep_as_its_lower_side(values, depth, at):
    found = taxonomy.dip(np.array(values, dtype=float))
    assert (found.depth, found.at) == (depth, at) and np.isnan(found.error)


@given(st.lists(st.integers(0, 50), max_size=10))
def test_a_dip_is_the_same_from_both_ends_and_above_any_level(values):
    values = np.array(values, dtype=float)
    depth = taxonomy.dip(values).depth
    assert depth == taxonomy.dip(values[::-1]).depth == taxonomy.dip(values + 7).depth
    assert (depth == 0) == (not np.any(_valleys(values)))


def _valleys(values):
    return [
        values[j] < min(values[i], values[k])
        for i in range(len(values))
        for j in range(i + 1, len(values))
        for k in range(j + 1, len(values))
    ]


def test_dips_along_both_axes_with_their_errors():
    rows = [
        (w, b, a, 100, 0, 0) for w, b, a in ((1, 4, 50), (1, 1, 60), (1, 2, 43), (2, 1, 55), (3, 1, 70))
    ]
    found = taxonomy.dips(grid(rows, acc_error=[3, 9, 4, 0, 0]))
    assert found[1] == (taxonomy.Dip(7.0, 1, 5.0), 2.0)  # below 50: errors 3 and 4
    assert found[2][0].depth == 0 and found[2][1] is None
    valley, width = taxonomy.dips(grid(rows), "width")[1]
    assert (valley.depth, width) == (5, 2)
    with pytest.raises(ValueError, match="axis must be .*received 'data'"):
        taxonomy.dips(CORNERS, "data")


# ---- lines ------------------------------------------------------------------------------------------


def test_the_width_from_which_on_nothing_is_poorly_connected():
    rows = [(w, 1, 50, 100, mc, 0) for w, mc in ((8, -1.0), (1, 0), (2, -5), (4, -0.5))]
    rows += [(w, 2, 50, 100, mc, 0) for w, mc in ((1, -0.1), (2, NAN), (8, -2))]
    found = taxonomy.connects_at(grid([*rows, (1, 3, 50, 100, 0, 0)]))
    assert found[1] == 4 and np.isnan(found[2]) and found[3] == 1


def test_connection_is_at_the_coldest_batch_where_two_widths_have_converged():
    rows = [(w, 16, 50, 100, mc, 0) for w, mc in ((4, 0), (1, -9), (2, -12), (3, -8))]
    rows += [(1, 64, 50, 100, -7, 0), (2, 64, 50, 99, 0, 0), (3, 32, 50, 100, NAN, 0)]
    found = taxonomy.connection(grid(rows))
    assert (found.bs, found.width.tolist(), found.mc.tolist()) == (16, [1, 2, 3, 4], [-9, -12, -8, 0])
    assert found.fall == 3
    empty = taxonomy.connection(EMPTY)
    assert len(empty.mc) == 0 and np.isnan(empty.fall) and np.isnan(empty.bs)


def test_noise_is_compared_where_both_have_converged():
    noisy = CORNERS._replace(cka=CORNERS.cka - 0.1, mc=CORNERS.mc - 2, test_acc=CORNERS.test_acc - 5)
    turned = noisy.only(np.array([3, 2, 1, 0]))
    found = taxonomy.noise_effect(CORNERS, turned)
    np.testing.assert_allclose(found.cka, [-0.1, -0.1])
    np.testing.assert_allclose(found.mc, [-2, -2])
    assert sorted(found.clean_mc) == [-8, 0] and found.log_trace.tolist() == [0, 0]
    assert len(taxonomy.noise_effect(CORNERS, EMPTY).cka) == 0


def test_sharpness_rises_with_cold_on_one_side_only():
    rows = [(1, b, 50, t, 0, 0) for b, t in ((1, 90), (2, 90), (3, 90), (4, 100), (5, 100), (6, 100))]
    cells = grid([*rows, (2, 1, 50, 100, 0, 0)], log_trace=[9, 8, 7, 1, 3, 2, 0])
    assert taxonomy.sharpness_with_cold(cells) == {1: pytest.approx(0.5)}
    assert taxonomy.sharpness_with_cold(cells, side=False) == {1: pytest.approx(-1)}
    assert taxonomy.sharpness_with_cold(cells, least=4) == {}


def test_jumps_are_between_neighbours_at_the_first_crossing():
    assert taxonomy.jumps(CORNERS) == {1: pytest.approx(8), 9: pytest.approx(20)}
    rows = [(1, b, 50, t, 0, 0) for b, t in ((1, 100), (2, 90), (3, 100), (4, 90), (5, 100))]
    rows += [(2, b, 50, t, 0, 0) for b, t in ((1, 90), (3, 100), (4, 100))]  # its neighbour is missing
    cells = grid(rows, log_top=np.log([1, 6, 2, 9, 1, 5, 1, 1]))
    assert taxonomy.jumps(cells) == {1: pytest.approx(3)}


def test_steps_between_the_best_similarity_and_the_best_accuracy_are_those_of_the_grid():
    rows = [
        (1, 10, 60, 0, 0, 0.1),
        (1, 40, 50, 0, 0, 0.9),
        (2, 20, 50, 0, 0, 0.5),
        (2, 30, 60, 0, 0, NAN),
    ]
    assert taxonomy.batches_apart(grid(rows)) == {1: 3, 2: 0}


def test_curves_below_their_ends_without_cells_whose_error_is_large():
    rows = [(1, 1, 50, 90, 2, 0), (1, 2, 50, 100, 2, 0), (1, 3, 50, 100, 5, 0), (1, 4, 50, 100, 1, 0)]
    assert taxonomy.unconverged_ends(grid(rows)) == (3, 2)
    assert taxonomy.unconverged_ends(grid(rows, mc_error=[0.1, NAN, 1.0, 0.1])) == (2, 1)


def test_one_cell_by_its_place():
    assert taxonomy.cell(CORNERS, 9, 16)["test_acc"] == 60
    assert np.isnan(taxonomy.cell(CORNERS, 9, 17)["test_acc"])


# ---- claims about two grids -------------------------------------------------------------------------


def failing(numbers):
    """Ids of the claims that fail."""
    claims = [
        Claim(s.id, s.statement, s.source, numbers[s.id], s.relation, s.bound)
        for s in taxonomy_claims.STATEMENTS
        if s.relation
    ]
    return {claim.id for claim in claims if not claim.passed}


def textbook(noise=0.0):
    """Four widths, five batches: hot cells have not converged, narrow ones have barriers."""
    width, bs = (axis.ravel() for axis in np.meshgrid([1, 2, 4, 8], [1, 2, 4, 8, 16], indexing="ij"))
    hot, narrow = bs < 4, width < 4
    mc = np.where(narrow, -40.0 / width, np.where(hot, 2.0, 0.0)) - noise
    gain = np.where(hot, 0, np.where(narrow, -3, 4))
    test = 40 + 3 * np.log2(width) + gain - 0.5 * np.abs(np.log2(bs) - 2) - 4 * noise
    return Grid(
        width=width.astype(float),
        bs=bs.astype(float),
        test_acc=test,
        train_acc=np.where(hot, 90.0, 100.0),
        train_loss=np.where(hot, 0.3, 0.001),
        mc=mc,
        cka=test / 100,
        log_trace=np.where(hot, 7.0, np.log2(bs)),
        log_top=np.where(hot, 5.0, 1.0),
        l2=width.astype(float),
        acc_error=np.full(20, 0.1),
    )


CLEAN, NOISE = textbook(), textbook(0.5)
MORE = CLEAN.only(CLEAN.width < 4)


def test_every_number_has_its_words_once_and_a_bound_or_none():
    ids = [s.id for s in taxonomy_claims.STATEMENTS]
    numbers = taxonomy_claims.judge_grids(CLEAN, NOISE)
    assert len(ids) == len(set(ids)) and set(ids) == set(numbers)
    assert all((s.relation is None) == (s.bound is None) for s in taxonomy_claims.STATEMENTS)
    judged, told = taxonomy_claims.claimed(numbers, taxonomy_claims.STATEMENTS)
    assert not judged.keys() & told.keys() and {**judged, **told} == numbers
    claims = {id.partition(".")[0] for id in judged}
    assert claims == {f"R{i}" for i in range(1, 13)}  # R13 and R14 are only reported


def test_the_bounds_are_those_that_were_fixed_in_advance():
    """By claim; the bound of each level of noise is the same."""
    bounds = {
        s.id.replace(".clean", "").replace(".noise", ""): (s.relation, s.bound)
        for s in taxonomy_claims.STATEMENTS
        if s.relation
    }
    assert bounds == {
        **{"R1.training": (">=", 99.9), "R1.mc": ("<=", 1), "R1.cka": ("<=", 1 / 3)},
        **{"R2": (">=", 0.7), "R3": ("<=", -0.5), "R4": (">", 0)},
        **{"R5.narrow": ("<=", -3), "R5.wide": (">=", -1), "R5.fall": ("<=", 2)},
        **{"R6.share": (">=", 2 / 3), "R7": (">=", 0.6), "R8": ("<=", 0), "R9": (">=", 0.75)},
        **{"R10.gap": (">=", 3), "R10.rho": (">", 0), "R10.hurts": ("<=", -1)},
        **{"R11.share": (">=", 0.8), "R11.mean": (">=", 1)},
        **{"R12.cka": (">=", 0.8), "R12.log_trace": ("<=", 0.5), "R12.mc": (">=", 0.8)},
    }


def test_the_best_cell_counts_among_the_similar_ones():
    rows = [(1, b, 50 + b, 100, 0, c) for b, c in ((1, 0.1), (2, 0.3), (3, 0.2))]
    numbers = taxonomy_claims.judge_grids(grid(rows), EMPTY)
    assert numbers["R1.clean.cka"] == pytest.approx(2 / 3) and np.isnan(numbers["R1.noise.cka"])


def test_the_distance_is_compared_with_similarity_by_size():
    numbers = taxonomy_claims.judge_grids(CLEAN._replace(l2=-CLEAN.cka, cka=CLEAN.mc), NOISE)
    assert numbers["R14.clean.l2"] == pytest.approx(-1) and numbers["R14.clean.apart"] < 0
    reverse = CLEAN._replace(mc=np.abs(CLEAN.mc))
    assert taxonomy_claims.judge_grids(reverse, NOISE)["R4.clean"] == pytest.approx(0)


def test_all_claims_hold_on_the_textbook_grid():
    assert failing(taxonomy_claims.judge_grids(CLEAN, NOISE, MORE, None)) == set()


def test_no_claim_holds_of_nothing():
    numbers = taxonomy_claims.judge_grids(EMPTY, EMPTY)
    judged, told = taxonomy_claims.claimed(numbers, taxonomy_claims.STATEMENTS)
    assert all(np.isnan(number) for number in judged.values())
    assert failing(numbers) == set(judged)
    assert all(number == 0 or np.isnan(number) for number in told.values())


def test_more_data_are_claimed_about_only_where_they_are_given():
    without = taxonomy_claims.judge_grids(CLEAN, NOISE)
    assert np.isnan(without["R10.hurts"]) and without["R10.hurts.widths"] == 0
    given = taxonomy_claims.judge_grids(CLEAN, NOISE, MORE, MORE._replace(mc=MORE.mc / 10))
    assert given["R10.hurts"] == given["R10.hurts.clean"] == pytest.approx(-2.5)
    assert given["R10.hurts.widths"] == 2 and np.isnan(given["R10.hurts.noise"])


best = taxonomy.best(CLEAN)
done = taxonomy.converged(CLEAN)
DAMAGE = {
    "R1.clean.training": {"train_acc": np.where(np.arange(20) == best, 99.8, CLEAN.train_acc)},
    "R1.clean.mc": {"mc": np.where(np.arange(20) == best, -1.1, CLEAN.mc)},
    "R1.clean.cka": {"cka": np.where(np.arange(20) == best, 0.0, CLEAN.cka)},
    "R2.clean": {"cka": -CLEAN.cka},
    "R3.clean": {"mc": -40 - CLEAN.mc},
    "R4.clean": {"mc": CLEAN.mc.clip(max=0)},
    "R5.clean.narrow": {"mc": CLEAN.mc / 20},
    "R5.clean.wide": {"mc": CLEAN.mc - 1.5},
    "R5.clean.fall": {"mc": np.where(CLEAN.width == 2, -43, CLEAN.mc)},
    "R6.clean.share": {"log_top": np.where(done, 4.0, 5.0)},
    "R7.clean": {"log_trace": -CLEAN.log_trace},
    "R8.clean": {"mc": np.where(np.arange(20) == best + 1, 1.1, CLEAN.mc)},
    "R9.clean": {"cka": np.where(CLEAN.bs == 16, 0.5, 0.4) * CLEAN.width},
    "R10.clean.gap": {"test_acc": CLEAN.test_acc + np.where(done & (CLEAN.width < 4), 4.5, 0)},
    "R10.clean.rho": {"test_acc": CLEAN.test_acc - np.where(done, 6 * np.log2(CLEAN.width), 0)},
    "R11.share": {"test_acc": CLEAN.test_acc - np.where(done, 6 * np.log2(CLEAN.width), 0)},
    "R11.mean": {"test_acc": CLEAN.test_acc - np.where(done, 8 * np.log2(CLEAN.width), 0)},
    "R12.cka": {"cka": CLEAN.cka - 0.1},
    "R12.log_trace": {"log_trace": CLEAN.log_trace + 0.6},
    "R12.mc": {"mc": CLEAN.mc - 2},
}


@pytest.mark.parametrize("id", DAMAGE)
def test_each_claim_can_fail(id):
    noise = NOISE._replace(test_acc=DAMAGE[id]["test_acc"]) if id.startswith("R11") else NOISE
    numbers = taxonomy_claims.judge_grids(CLEAN._replace(**DAMAGE[id]), noise, MORE)
    assert id in failing(numbers) and np.isfinite(numbers[id])


def test_few_pairs_say_nothing_and_a_harmless_contrast_does_not_hurt():
    few = CLEAN.only((CLEAN.width > 1) & (CLEAN.bs < 16))
    numbers = taxonomy_claims.judge_grids(few, EMPTY, MORE._replace(test_acc=MORE.test_acc * 0))
    assert numbers["R11.pairs"] == 4 and np.isnan(numbers["R11.share"])
    assert numbers["R10.hurts"] == 0 and "R10.hurts" in failing(numbers)


def test_dips_count_where_they_are_deep_and_clear():
    deep = np.where(CLEAN.bs == 2, CLEAN.test_acc - 5, CLEAN.test_acc)
    numbers = taxonomy_claims.judge_grids(
        CLEAN._replace(test_acc=deep), CLEAN._replace(test_acc=deep, acc_error=np.full(20, 9.0))
    )
    assert numbers["R13.clean.columns"] == 4 and numbers["R13.noise.columns"] == 0
    assert numbers["R13.clean.deepest"] == numbers["R13.noise.deepest"] >= 2
    assert np.isnan(
        taxonomy_claims.judge_grids(CLEAN._replace(acc_error=None), NOISE)["R13.clean.columns"]
    )
