"""The settings of a figure: each is one line of its `Config`, and a flag of its program.

    @settings
    class Config(options.Config):
        lr: Floats = option("maximum rates", above(0, at_most=1), paper=(0.03, 0.1), smoke=(0.1,))

A line says what the setting is, which values it may have, and its value in each preset. Where it names
no values, whole numbers are at least 1 and others above 0. A list names each value once. A preset that
is not named takes the value of the next larger one: smoke that of quick, quick that of paper. A subclass
changes presets of what it inherits by `but`:

        epochs: int = but(smoke=6)
"""

import dataclasses
import functools
import math
import types
import typing

from reproductions.bench.errors import UsageError

PRESETS = ("smoke", "quick", "paper")
_LARGER = {"smoke": "quick", "quick": "paper"}
_UNSET = object()
# Lists of settings.
Ints, Floats, Texts = tuple[int, ...], tuple[float, ...], tuple[str, ...]

settings = dataclasses.dataclass(frozen=True, kw_only=True)
settings.__doc__ = """A frozen dataclass, made with keywords only."""


def option(
    help,
    allowed=None,
    *,
    below=None,
    check=None,
    fits=None,
    needs=None,
    flag=None,
    repeats=False,
    paper=_UNSET,
    quick=_UNSET,
    smoke=_UNSET,
):
    """A field of a figure's Config that is also a flag.

    Args:
      help: what it is, with its unit.
      allowed: the values there are: a `Range`, or `one_of(...)`; each of them, for a list of values.
        None: whole numbers from 1 on, other numbers above 0, any text.
      below: another setting of the same Config, a number that it must be below.
      check: called as check(value, flag) before anything is measured; raises UsageError.
      fits: called as fits(value, flag, settings), with {name: value} of all settings, as soon as the
        flags are read; raises UsageError.
      needs: called as needs(value, data_dir) for words that say what has to be there before a run can
        begin, and whether it is: a data set that is to be downloaded.
      flag: its flag, where that is not the setting's own name. The setting's name is accepted as well.
      repeats: whether a list may name a value more than once.
      paper, quick, smoke: its value in each preset.
    """
    presets = {"paper": paper, "quick": quick, "smoke": smoke}
    presets = {name: v for name, v in presets.items() if v is not _UNSET}
    more = {"below": below, "check": check, "presets": presets}
    line = {"fits": fits, "needs": needs, "flag": flag, "repeats": repeats}
    return dataclasses.field(metadata={"help": help, "allowed": allowed, **more, **line})


def but(**presets):
    """An inherited option with other values in these presets."""
    return dataclasses.field(metadata={"but": presets})


class Range:
    """Numbers from `low` to `high`, either end left open or not; it says itself in words."""

    def __init__(self, low, high=None, *, open_low=False, open_high=False):
        self.low, self.high = low, high
        self.open_low, self.open_high = open_low, open_high

    def __contains__(self, value):
        if isinstance(value, float) and not math.isfinite(value):
            return False
        above = value > self.low if self.open_low else value >= self.low
        below = self.high is None or (value < self.high if self.open_high else value <= self.high)
        return above and below

    def __str__(self):
        low, high = (f"{v:g}" if isinstance(v, float) else str(v) for v in (self.low, self.high))
        if self.high is None:
            return f"above {low}" if self.open_low else f"at least {low}"
        if self.open_low and self.open_high:
            return f"between {low} and {high}"
        if self.open_low:
            return f"above {low} and at most {high}"
        return f"from {low} to below {high}" if self.open_high else f"from {low} to {high}"


class Even(Range):
    """Even numbers of a range."""

    def __contains__(self, value):
        return value % 2 == 0 and super().__contains__(value)

    def __str__(self):
        return f"even, {super().__str__()}"


class either:
    """One value, or those of a range."""

    def __init__(self, value, others):
        self.value, self.others = value, others

    def __contains__(self, value):
        return value == self.value or value in self.others

    def __str__(self):
        return f"{self.value} or {self.others}"


class one_of(tuple):
    """The values that a setting may have, by name."""

    def __new__(cls, *values):
        return super().__new__(cls, values)

    def __str__(self):
        return ", ".join(map(str, self))


def above(low, at_most=None):
    """Numbers above `low`."""
    return Range(low, at_most, open_low=True)


def at_least(low, below=None):
    """Numbers from `low` on; below another one, where it is given."""
    return Range(low, below, open_high=below is not None)


def between(low, high):
    """Numbers from `low` to `high`, both included."""
    return Range(low, high)


def inside(low, high):
    """Numbers between `low` and `high`, neither included."""
    return Range(low, high, open_low=True, open_high=True)


# ---- a Config ------------------------------------------------------------------------------------


@settings
class Config:
    """What every figure's results depend on. A figure's own Config adds to it."""

    seed: int = option("first random seed, of everything that is random", between(0, 2**20 - 1), paper=0)

    @property
    def repeats(self):
        """The seeds of a figure's independent repetitions: `seed`, `seed` + 1, ..., `seeds` of them."""
        return range(self.seed, self.seed + self.seeds)

    def check(self):
        """Raise UsageError for settings that do not go together, or whose data are not to be had; called
        before anything is measured or written."""
        for option in options(type(self)):
            given = getattr(self, option.name)
            values = given if isinstance(given, tuple) else (given,)
            for value in values if option.check is not None else ():
                option.check(value, option.name)
            if option.below is not None and max(values) >= (limit := getattr(self, option.below)):
                raise UsageError(
                    f"--{option.name}={max(values)}: must be below --{option.below}={limit}."
                )

    def inputs(self):
        """{name: what stands for its content} of everything outside that is measured on: data sets."""
        return {}


# ---- a Config's options, presets and values ---------------------------------------------------------


class Option(typing.NamedTuple):
    """One setting: what `option` says of it, and its type."""

    name: str
    help: str
    allowed: typing.Any
    presets: dict
    type: typing.Any
    below: str | None = None
    check: typing.Callable | None = None


def options(config):
    """The `Option`s of a Config class, with what subclasses changed by `but`."""
    hints = typing.get_type_hints(config)
    found = []
    for field in dataclasses.fields(config):
        declared, presets = None, {}
        for cls in reversed(config.__mro__):
            own = vars(cls).get("__dataclass_fields__", {}).get(field.name)
            if own is None:
                continue
            if "help" in own.metadata:
                declared, presets = own.metadata, dict(own.metadata["presets"])
            presets |= own.metadata.get("but", {})
        type = hints[field.name]
        allowed = declared["allowed"] or _USUAL.get(_of_one(type)[0])
        more = declared["below"], declared["check"]
        found.append(Option(field.name, declared["help"], allowed, presets, type, *more))
    return found


def declared(config):
    """{setting: all that its `option` says} of a Config class.

    What only the command line asks for is read here, and not from an `Option`: `Config.check`, which
    reaches that, is code in the mark of every kept number.
    """
    found = {}
    for cls in reversed(config.__mro__):
        for name, field in vars(cls).get("__dataclass_fields__", {}).items():
            if "help" in field.metadata:
                found[name] = field.metadata
    return found


def flag(config, name):
    """The flag of a setting of a Config class, without its hyphens."""
    return declared(config)[name]["flag"] or name


_USUAL = {int: at_least(1), float: above(0)}  # values of settings that name none


def _of_one(type):
    """Of a setting's type: that of a single value; whether there may be several, or none."""
    optional = isinstance(type, types.UnionType)  # X | None
    if optional:
        type = next(a for a in typing.get_args(type) if a is not types.NoneType)
    if many := typing.get_origin(type) is tuple:  # tuple[X, ...]
        type = typing.get_args(type)[0]
    return type, many, optional


def preset(config, name):
    """{setting: value} of a preset of a Config class."""
    return {o.name: in_preset(o, name) for o in options(config)}


def in_preset(option, name):
    """The value of an `Option` in a preset."""
    while name not in option.presets:
        if name not in _LARGER:
            raise TypeError(f"the option {option.name!r} has no value in the preset 'paper'.")
        name = _LARGER[name]
    return option.presets[name]


def make(config, name, given):
    """The Config of a preset with the texts that were given for some settings, {flag or name: text}; and
    the flags of those that make it another experiment.

    Raises UsageError in one line for a text that is not allowed.
    """
    values, overrides, lines = preset(config, name), [], declared(config)
    for o in options(config):
        called = next((n for n in (flag(config, o.name), o.name) if n in given), None)
        if called is not None:
            value = _convert(o._replace(name=called), given[called])
            if not lines[o.name]["repeats"]:
                _each_once(called, value, given[called])
            if value != values[o.name] and o.name not in REPEATS:
                overrides.append(called)
            values[o.name] = value
        elif not isinstance(values[o.name], str):
            _verify(o, values[o.name], values[o.name])
    for o, line in lines.items():
        if line["fits"] is not None:
            line["fits"](values[o], flag(config, o), values)
    return config(**values), overrides


# Which seeds, and how many, is no other experiment: references are compared across them.
REPEATS = ("seed", "seeds")


def experiment(values):
    """The settings, a dict, without those that only say which seeds, and how many."""
    return {name: v for name, v in values.items() if name not in REPEATS}


def _convert(option, given):
    """The text of a flag as the option's type; UsageError in one line if it is not one."""
    kind, many, optional = _of_one(option.type)
    if optional and given.lower() == "none":
        return None
    if kind is bool:
        return given == "True"
    try:
        value = tuple(kind(v) for v in given.split(",")) if many else kind(given)
    except ValueError:
        words = {int: "a whole number", float: "a number"}[kind]
        raise UsageError(
            f"--{option.name}={given}: must be {words}{' or several with commas' if many else ''}."
        ) from None
    if isinstance(option.allowed, one_of):
        known = functools.partial(spelled, option.allowed)
        value = tuple(map(known, value)) if many else known(value)
    _verify(option, value, given)
    return value


def spelled(allowed, value):
    """The one of these values that is meant, whose capitals and hyphens do not matter; `value` itself
    where it is none of them."""
    plain = lambda text: str(text).lower().replace("-", "_")
    return next((v for v in allowed if plain(v) == plain(value)), value)


def _each_once(flag, value, given):
    if isinstance(value, tuple) and len(set(value)) < len(value):
        raise UsageError(f"--{flag}={given}: name each value once.")


def _verify(option, value, given):
    for v in value if isinstance(value, tuple) else (value,):
        if v is None or option.allowed is None or v in option.allowed:
            continue
        if isinstance(option.allowed, one_of):
            raise UsageError(f"--{option.name}={given}: choose from {option.allowed}.")
        raise UsageError(f"--{option.name}={given}: must be {option.allowed}.")


def show(value):
    """A value as its flag takes it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
