"""Settings of a figure: presets, ranges that say themselves, texts that become values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reproductions.bench import options
from reproductions.bench.errors import UsageError
from reproductions.bench.options import above, at_least, between, but, inside, one_of, option


@options.settings
class Base(options.Config):
    seeds: int = option("repetitions", at_least(1), paper=3, smoke=1)
    rates: tuple[float, ...] = option("rates", above(0), paper=(0.1, 0.2), quick=(0.3,))
    kind: str = option("which", one_of("a", "b"), paper="a")
    depth: int | None = option("layers", at_least(1), paper=None)


@options.settings
class Changed(Base):
    rates: tuple[float, ...] = but(smoke=(0.5,))
    size: int = option("size", options.Even(2), paper=4)


@options.settings
class Again(Changed):
    seeds: int = but(paper=9)


def test_a_preset_that_is_not_named_takes_the_next_larger_ones_value():
    of = lambda config, name: options.preset(config, name)
    assert [of(Base, p)["seeds"] for p in options.PRESETS] == [1, 3, 3]
    assert [of(Base, p)["rates"] for p in options.PRESETS] == [(0.3,), (0.3,), (0.1, 0.2)]
    assert of(Base, "smoke") == {"seed": 0, "seeds": 1, "rates": (0.3,), "kind": "a", "depth": None}


def test_a_subclass_changes_presets_of_what_it_inherits_and_of_nothing_else():
    rates = lambda config: [options.preset(config, p)["rates"] for p in options.PRESETS]
    assert rates(Changed) == rates(Again) == [(0.5,), (0.3,), (0.1, 0.2)]
    assert rates(Base) == [(0.3,), (0.3,), (0.1, 0.2)]
    assert options.preset(Again, "paper")["seeds"] == 9 and options.preset(Again, "smoke")["seeds"] == 1
    names = [o.name for o in options.options(Again)]
    assert sorted(names) == sorted({"seed", "seeds", "rates", "kind", "depth", "size"})


def test_an_option_without_a_paper_value_is_a_fault_of_the_figure():
    @options.settings
    class Bad(options.Config):
        x: int = option("x", at_least(1), smoke=1)

    with pytest.raises(TypeError, match="'x' has no value in the preset 'paper'"):
        options.preset(Bad, "quick")


@options.settings
class Usual(options.Config):
    count: int = option("a count", paper=3)
    layers: int | None = option("layers, if any", paper=None)
    rates: options.Floats = option("rates", paper=(0.5, 1.0))
    sizes: options.Ints = option("sizes", below="count", paper=(1, 2))
    words: options.Texts = option(
        "words", paper=("a",), check=lambda value, flag: _refuse_x(value, flag)
    )


def _refuse_x(value, flag):
    if value == "x":
        raise UsageError(f"--{flag}=x: must be another.")


def test_whole_numbers_are_from_1_on_and_others_above_0_where_an_option_names_no_values():
    for name, good, bad in (("count", "1", "0"), ("rates", "1e-9,2", "1,0"), ("layers", "none", "0")):
        options.make(Usual, "paper", {name: good})
        with pytest.raises(UsageError, match=f"--{name}={bad}: must be (at least 1|above 0)"):
            options.make(Usual, "paper", {name: bad})
    assert options.make(Usual, "paper", {"words": ",?"})[0].words == ("", "?")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sizes": (1, 3)}, "^--sizes=3: must be below --count=3.$"),
        ({"count": 2}, "^--sizes=2: must be below --count=2.$"),
        ({"words": ("a", "x")}, "^--words=x: must be another.$"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_before_anything_is_measured(changes, words):
    Usual(**options.preset(Usual, "paper")).check()
    with pytest.raises(UsageError, match=words):
        Usual(**{**options.preset(Usual, "paper"), **changes}).check()


def test_texts_become_values_and_tell_what_is_another_experiment():
    config, overrides = options.make(
        Changed, "paper", {"seed": "7", "seeds": "2", "rates": "0.1,1e-2", "depth": "2", "kind": "a"}
    )
    assert (config.seed, config.seeds, config.rates, config.depth) == (7, 2, (0.1, 0.01), 2)
    assert overrides == ["rates", "depth"] and list(config.repeats) == [7, 8]
    config, overrides = options.make(Changed, "paper", {"depth": "None"})
    assert config.depth is None and overrides == []
    with pytest.raises(AttributeError):
        config.seed = 1
    assert options.experiment({"seed": 1, "seeds": 2, "kind": "a"}) == {"kind": "a"}


BAD = [
    ({"seeds": "0"}, "--seeds=0: must be at least 1."),
    ({"seeds": "x"}, "--seeds=x: must be a whole number."),
    ({"seeds": "1.5"}, "--seeds=1.5: must be a whole number."),
    ({"rates": "1,-2"}, "--rates=1,-2: must be above 0."),
    ({"rates": "1,"}, "--rates=1,: must be a number or several with commas."),
    ({"rates": "nan"}, "--rates=nan: must be above 0."),
    ({"rates": "inf"}, "--rates=inf: must be above 0."),
    ({"kind": "c"}, "--kind=c: choose from a, b."),
    ({"size": "3"}, "--size=3: must be even, at least 2."),
    ({"seed": "-1"}, "--seed=-1: must be from 0 to 1048575."),
    ({"depth": "no"}, "--depth=no: must be a whole number."),
]


@pytest.mark.parametrize(("given", "words"), BAD)
def test_what_is_not_allowed_is_said_in_one_line(given, words):
    with pytest.raises(UsageError) as error:
        options.make(Changed, "paper", given)
    assert str(error.value) == words


RANGES = [
    (above(0), "above 0", lambda v: v > 0),
    (above(0, at_most=5), "above 0 and at most 5", lambda v: 0 < v <= 5),
    (at_least(1), "at least 1", lambda v: v >= 1),
    (at_least(0, below=1), "from 0 to below 1", lambda v: 0 <= v < 1),
    (between(4, 5000), "from 4 to 5000", lambda v: 4 <= v <= 5000),
    (inside(0, 1), "between 0 and 1", lambda v: 0 < v < 1),
    (options.Even(2), "even, at least 2", lambda v: v >= 2 and v % 2 == 0),
    (options.either(0, at_least(2)), "0 or at least 2", lambda v: v == 0 or v >= 2),
]


@pytest.mark.parametrize(("allowed", "words", "holds"), RANGES, ids=lambda v: str(v)[:20])
@given(st.integers(-3, 6000) | st.sampled_from([0, 1, 2, 4, 5, 5000]) | st.floats(-2, 7))
def test_ranges_hold_what_they_say(allowed, words, holds, value):
    assert str(allowed) == words
    assert (value in allowed) == holds(value)


def test_no_range_of_floats_holds_what_is_no_number():
    for allowed, *_ in RANGES[:6]:
        assert math.nan not in allowed and math.inf not in allowed and -math.inf not in allowed
