"""The rugged bowl's figure: mode connectivity by hand, phases at corners, each claim on numbers made by
hand, chains that are warm enough against the exact mean."""

import dataclasses

import numpy as np
import pytest
from scipy.integrate import trapezoid

import wedges
from reproductions import taxonomy_rugged as figure
from reproductions.bench import options

SMOKE = figure.Config(**options.preset(figure.Config, "smoke"))
QUICK = figure.Config(**options.preset(figure.Config, "quick"))


# ---- mode connectivity ------------------------------------------------------------------------------


def test_mode_connectivity_of_a_double_well_is_minus_its_barrier():
    """Wells of height 1.4 at multiples of 2 pi; what stands between five points is not seen."""
    wells = wedges.rugged.Rugged(1e-12, 0.7, 1.0)
    a, b = np.array([[-np.pi], [0.0]]), np.array([[np.pi], [2 * np.pi]])
    ends = figure.connectivity(wells, a, b, 5)  # from top to top over a well; between two wells
    np.testing.assert_allclose(ends, [1.4, -1.4], atol=1e-9)
    far = figure.connectivity(wells, -2 * np.pi * np.ones((1, 1)), 2 * np.pi * np.ones((1, 1)), 5)
    np.testing.assert_allclose(far, [-1.4], atol=1e-9)
    narrow = wedges.rugged.Rugged(1e-12, 0.7, 4.0)  # four waves on the segment: five points see none
    seen = [figure.connectivity(narrow, a[1:], b[1:], points)[0] for points in (5, 9)]
    np.testing.assert_allclose(seen, [0, -1.4], atol=1e-9)


def test_mode_connectivity_is_positive_where_ends_are_high_and_the_larger_deviation_counts():
    bowl = wedges.Quadratic([2.0], dtype="float64")
    assert figure.connectivity(bowl, np.array([[-3.0]]), np.array([[3.0]]), 5) == pytest.approx([9.0])
    # From 0 to 2 the losses are 0, 1/8, 1/2, 9/8, 2: their ends deviate most, and a's counts.
    lean, low, high = wedges.Quadratic([1.0], dtype="float64"), np.array([[0.0]]), np.array([[2.0]])
    assert figure.connectivity(lean, low, high, 5) == pytest.approx([1.0])
    assert figure.connectivity(lean, high, low, 5) == pytest.approx([-1.0])


def test_pairs_of_many_cells_are_what_each_is_alone():
    rng = np.random.default_rng(0)
    loads = np.array([0.1, 0.9])
    a, b = rng.normal(size=(2, 6, 2, 1))
    model = figure.Model(0.3, (9.0, 13.0), *figure.MODELS["plain"], seed=1)
    together = figure.connectivity(model.landscape(loads), a, b, 65)
    assert together.shape == (6, 2)
    for i, j in np.ndindex(6, 2):
        t = np.linspace(0, 1, 65)[:, None]
        losses = model.landscape(loads[j])((1 - t) * a[i, j] + t * b[i, j]).numpy()
        off = (losses[0] + losses[-1]) / 2 - losses
        assert together[i, j] == pytest.approx(max(off[:-1], key=abs), abs=1e-12)


def test_mode_connectivity_is_that_of_networks():
    """`wedges.phases` measures pair by pair what the figure measures of all pairs at once."""
    model = figure.Model(0.3, (9.0, 13.0), *figure.MODELS["plain"], seed=1)
    landscape = model.landscape(0.5)
    a, b = np.random.default_rng(4).uniform(-4, 4, (2, 12, 1))
    how = {"curve": "line", "unit": "loss", "points": 65}
    pairs = [wedges.phases.mode_connectivity(landscape, *ends, **how) for ends in zip(a, b, strict=True)]
    for points, theirs in ((5, pairs), (65, [found.fine for found in pairs])):
        ours = figure.connectivity(landscape, a, b, points)
        wanted = np.array([found.mc for found in theirs])
        # One end deviates as much as the other, to the other side, and rounding says which comes first.
        inside = np.array([0 < found.t < 1 for found in theirs])
        assert 4 < inside.sum() <= 12
        np.testing.assert_allclose(
            np.where(inside, ours, abs(ours)), np.where(inside, wanted, abs(wanted))
        )


# ---- what is measured -------------------------------------------------------------------------------


def test_warm_chains_have_the_mean_loss_of_the_gibbs_density():
    """Fine waves so low that steps of 0.02 hardly change the density."""
    model = figure.Model(0.3, (9.0,), 1.6, 0.001, 0.0, 4.0, seed=3)
    found = figure.stops(figure.Chains((0.0, 0.2), (0.6,), 250, 0.02, 1500), model)
    theta = np.linspace(-9, 9, 9001)
    landscape = model.landscape(np.array([0.0, 0.2]))
    density = wedges.rugged.gibbs(landscape, 0.6, theta)
    losses = landscape(theta[:, None, None]).numpy()
    mean = trapezoid(losses * density, theta, axis=0)
    error = np.sqrt((trapezoid(losses**2 * density, theta, axis=0) - mean**2) / 500)
    assert (np.abs(found["loss"][:, 0] - mean) < 5 * error).all()
    # Two independent draws of a Gaussian of variance T / c are sqrt(4 T / pi c) apart.
    assert found["distance"][0, 0] == pytest.approx(np.sqrt(4 * 0.6 / (np.pi * 0.3)), rel=0.25)
    assert set(found) == {"loss", "curvature", "mc", "mc fine", "distance"}
    assert all(values.shape == (2, 1) for values in found.values())


def test_a_floor_is_where_chains_come_to_rest_at_no_loss():
    model = figure.Model(0.3, (9.0,), 1.6, 0.0, 0.6, 4.0, seed=0)
    found = figure.stops(figure.Chains((0.0,), (1e-6,), 20, 0.02, 1200), model)
    for name in ("loss", "curvature", "mc", "mc fine"):
        assert abs(found[name][0, 0]) < 1e-3
    # Half of the pairs stop at two sides, 2 sqrt(2 0.6 / 0.3) = 4 apart at most.
    assert 1 < found["distance"][0, 0] < 4


def test_what_is_exact_is_exact_and_a_wrong_formula_is_told(monkeypatch):
    model = figure.Model(0.3, (9.0, 13.0), *figure.MODELS["plain"], seed=0)
    how = ((0.0, 0.8), (0.01, 0.6), model)
    assert figure._effective(*how) < 1e-10
    assert figure._critical_load((0.01, 0.6), model) < 1e-6 > figure._critical_noise(model)
    own = wedges.rugged.Rugged.effective
    monkeypatch.setattr(wedges.rugged.Rugged, "effective", lambda self, noise: own(self, 1.01 * noise))
    assert figure._effective(*how) > 1e-4
    assert figure._critical_load((0.01, 0.6), model) > 1e-3 < figure._critical_noise(model)


# ---- phases and claims, on numbers made by hand -----------------------------------------------------


def arrays(config, **changes):
    """Numbers with which every claim holds; changes: {"<model> <name>": function of (A, T) -> value}."""
    A, T = (np.array(v) for v in (config.loads, config.temperatures))
    A, T = np.meshgrid(A, T, indexing="ij")
    warm, cold, large = T == figure.WARM, T <= 0.01, A >= figure.LARGE
    plain = {
        "loss": np.where(cold, 1.0, np.where(warm, 0.1, 0.4)) + 1.0 * large * (T < 0.6),
        "curvature": np.where(cold, 20.0, 12.0),
        "mc": np.where(large, np.where(T < 0.6, -0.3, 0.1), np.where(warm, 0.01, 0.2)),
        "distance": np.where(warm, 0.4, 2.0),
    }
    close = {
        "loss": np.where(T < 0.2, 0.01, 0.3),
        "curvature": np.ones_like(T),
        "mc": np.where(large, -0.5, 0.0),
        "distance": np.where(warm, 1.0, 1.5),
    }
    found = {"plain": plain, "floor": plain, "close": close}
    made = {f"{m} {name}": v for m, own in found.items() for name, v in own.items()}
    made |= {f"{m} mc fine": found[m]["mc"] for m in found}
    for name, change in changes.items():
        made[name] = np.where(change(A, T)[0], change(A, T)[1], made[name])
    made = {name: np.stack([v, v]) for name, v in made.items()}
    exact = {"effective": 1e-13, "load": 1e-9, "fine": 1e-9, "gibbs": 0.5}
    return made | {f"exact {name}": np.array([v, v]) for name, v in exact.items()}


def failures(made):
    return {c.id.removeprefix("taxonomy.rugged.") for c in figure.claims(made, QUICK) if not c.passed}


def test_all_claims_hold_on_numbers_made_for_it():
    made = arrays(QUICK)
    assert failures(made) == set() and len(figure.claims(made, QUICK)) == 15


@pytest.mark.parametrize(
    ("name", "value", "claim"),
    [
        ("effective", 1e-9, "effective"),
        ("load", 0.01, "load"),
        ("fine", 0.01, "fine"),
        ("gibbs", 1.2, "gibbs"),
    ],
)
def test_one_seed_off_what_is_exact_fails_its_claim_alone(name, value, claim):
    made = arrays(QUICK)
    made[f"exact {name}"] = np.array([0.0, value])
    assert failures(made) == {claim}


@pytest.mark.parametrize(
    ("name", "change", "claims"),
    [
        ("plain distance", lambda A, T: ((A == 0.1) & (T == 0.05), 1.1), {"near"}),
        ("plain mc", lambda A, T: ((A == 0.1) & (T == 0.05), 0.11), {"connected"}),
        ("plain mc", lambda A, T: ((A == 0.8) & (T == 0.05), -0.09), {"barrier"}),
        ("plain mc", lambda A, T: ((A == 0.8) & (T == 0.6), 0.0), {"hot"}),
        ("plain loss", lambda A, T: ((A == 0.2) & (T == 0.001), 0.29), {"cold"}),
        ("plain curvature", lambda A, T: ((A == 0) & (T == 0.05), 6.0), {"curvature"}),
        ("plain loss", lambda A, T: ((A == 0.8) & (T == 0.01), 0.1), {"iii"}),
        ("floor loss", lambda A, T: ((A == 0) & (T == 0.001), 0.05), {"floor.alone"}),
        ("close mc", lambda A, T: ((A == 0) & (T == 0.001), -0.2), {"floor.iv_a"}),
        ("close distance", lambda A, T: ((A == 0.1) & (T == 0.05), 1.4), {"floor.apart"}),
        ("close loss", lambda A, T: ((A == 0.8) & (T == 0.01), 0.06), {"floor.iii"}),
    ],
)
def test_each_claim_fails_alone(name, change, claims):
    assert failures(arrays(QUICK, **{name: change})) == claims


@pytest.mark.parametrize(
    ("loss", "mc", "distance", "phase"),
    [
        (0.21, -0.11, 0.0, "I"),
        (0.21, -0.1, 0.0, "II"),
        (0.21, 0.5, 0.0, "II"),
        (0.2, -0.11, 0.0, "III"),
        (0.2, -0.1, 1.34, "IV-A"),
        (0.2, 0.3, 1.33, "IV-B"),
    ],
)
def test_phases_at_corners(loss, mc, distance, phase):
    values = {"loss": loss, "mc": mc, "distance": distance}
    made = {f"plain {name}": np.full((1, 2, 3), v) for name, v in values.items()}
    found = figure.phases(made, SMOKE, "plain")
    assert found.shape == (2, 3) and {figure.PHASES[n] for n in found.ravel()} == {phase}


def test_a_floor_has_a_threshold_of_its_own_and_phases_are_of_means_over_seeds():
    made = {"mc": 0.0, "distance": 1.0}
    made = {f"close {name}": np.full((2, 2, 3), v) for name, v in made.items()}
    losses = np.stack([np.full((2, 3), 0.01), np.full((2, 3), 0.08)])
    assert (figure.phases(made | {"close loss": losses}, SMOKE, "close") == 4).all()
    assert (figure.phases(made | {"close loss": losses + 0.01}, SMOKE, "close") == 1).all()


def test_the_title_says_which_phases_were_found():
    assert figure._finding(arrays(QUICK), QUICK) == (
        "Alone it has the phases I, II, IV-B; a floor over close, smooth wells adds III and IV-A"
    )


def test_the_picture_says_where_chains_end_nearest_to_one_another():
    made = {"plain distance": np.ones((2, len(QUICK.loads), len(QUICK.temperatures)))}
    made["plain distance"][:, :, 1] = 0.5
    words = "In the rugged bowl chains end nearest to one another at T = "
    assert figure._nearest(made, QUICK) == f"{words}{QUICK.temperatures[1]:g}"
    small, large = figure.places(QUICK)
    made["plain distance"][:, large, 2] = 0.4
    both = " and ".join(f"{t:g}" for t in QUICK.temperatures[1:3])
    assert figure._nearest(made, QUICK) == words + both


def test_settings_rise_whatever_their_order():
    config = dataclasses.replace(SMOKE, loads=(0.8, 0.1, 0.8), temperatures=(0.6, 0.05, 0.001))
    assert config == SMOKE
