"""Claims in words and bounds, and the reference numbers that guard a figure."""

import dataclasses
import json
import math
import operator
import pathlib

import numpy as np

from reproductions.bench import options, store
from reproductions.bench.errors import UsageError
from wedges import archive

REFERENCE = pathlib.Path(__file__).parents[1] / "reference"
_RELATIONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
OURS, THEIRS = "ours", "the source's"  # whose a bound is; ours, unless a claim says otherwise
# What a reference's entry of one preset must have. Older ones have no verdicts, or no claims.
_NUMBER = {
    "mean": float,
    "spread": (float, None),
    "n": range(1, 10**9),
    "values": [float],
}
_MADE = {"id": str, "statement": str, "source": str, "says": (str, None), "measured": (float, None)}
_MADE |= {"relation": str, "expected": float, "passed": bool}
_BEFORE = {"settings": dict, "provenance": dict, "numbers": {str: dict}, "verdicts": {str: bool}}
_BEFORE |= {"measured": {str: (float, None)}}
_ENTRY = {
    "settings": dict,
    "provenance?": dict,
    "numbers": {str: _NUMBER},
    "verdicts?": {str: bool},
    "claims?": [_MADE],
    "before?": _BEFORE,
}


@dataclasses.dataclass(frozen=True)
class Claim:
    """measured `relation` expected, or not. A claim on NaN fails.

    Attributes:
      id: begins with the experiment's name, e.g. fig6.high.barrier.
      statement: what we test, in words, with the definition of the number.
      source: who says it.
      says: what the source says, in a sentence, not what we make of it; None where nobody wrote it down.
      threshold: whose `expected` is: ours, unless the source states it or it follows from its words.
    """

    id: str
    statement: str
    source: str
    measured: float
    relation: str
    expected: float
    says: str | None = None
    threshold: str = OURS

    @property
    def passed(self):
        return bool(_RELATIONS[self.relation](self.measured, self.expected))

    def as_dict(self):
        """The claim as it stands in check.json."""
        measured = float(self.measured)
        return {
            "id": self.id,
            "statement": self.statement,
            "source": self.source,
            "says": self.says,
            "measured": measured if math.isfinite(measured) else None,
            "expected": float(self.expected),
            "relation": self.relation,
            "threshold": self.threshold,
            "passed": self.passed,
        }


class Verdict:
    """What a figure claims of its numbers, {id: number}: in words, with a bound.

    >>> judge = Verdict("fig6", "Fort & Jastrzebski 2019, Fig. 6", {"low.no_barrier": 0.002})
    >>> judge("low.no_barrier", "rise between snapshots, over the loss at its ends", "<=", 0.01)
    >>> [(c.id, c.passed) for c in judge.claims]
    [('fig6.low.no_barrier', True)]

    What the source says is kept apart from what we test, and so is whose the bound is. A figure that
    claims the same of several subjects says each one's by `about`:

    >>> judge = Verdict("toy.cut", "Fort & Jastrzebski 2019, section 3", {"success.fixed": 1.0})
    >>> of_fixed = judge.about("*.fixed", "one fixed wedge", says="A cut succeeds from d = D - n on.")
    >>> of_fixed("success", "lowest success rate at d >= s + 2", ">=", 0.95)
    >>> [(c.id, c.statement) for c in judge.claims]
    [('toy.cut.success.fixed', 'one fixed wedge: lowest success rate at d >= s + 2')]
    >>> [(c.says, c.threshold) for c in judge.claims]
    [('A cut succeeds from d = D - n on.', 'ours')]

    None in place of a number: the settings have nothing that the claim is about, and it is not made. A
    claim of no number, and a number of which nothing is claimed, are errors, so none is forgotten.
    """

    def __init__(self, experiment, source, numbers):
        self.experiment, self.source, self.numbers = experiment, source, numbers
        self._made, self._said = [], set()

    def __call__(self, id, statement, relation, expected, *, source=None, says=None, threshold=OURS):
        """Claim that the number `relation` expected. `id` comes after the experiment's name; `source` is
        who says so, where it is not the figure's, and `says` what they say; `threshold` whose `expected`
        is."""
        measured = self.numbers[id]
        self._said.add(id)
        if measured is not None:
            id, source = f"{self.experiment}.{id}", source or self.source
            words = statement, source, measured, relation, expected, says, threshold
            self._made.append(Claim(id, *words))

    def about(self, id, label, **usual):
        """Says claims about one subject: `id` is theirs, with a star for each one's word; `label` stands
        before what each of them says; `usual` is what else they have in common, such as `says`."""
        return lambda word, statement, *bound, **how: self(
            id.replace("*", word), f"{label}: {statement}", *bound, **{**usual, **how}
        )

    @property
    def claims(self):
        """All of them, in the order in which they were made."""
        if silent := self.numbers.keys() - self._said:
            raise ValueError(f"nothing is claimed of the numbers {', '.join(sorted(silent))}.")
        return self._made


class Reference:
    """Numbers of an earlier full run, one entry a preset, in reproductions/reference/<figure>.json.

    A mean over k seeds may differ from the entry's over n by its tolerance, 4 s sqrt(1/k + 1/n): four
    standard deviations of that difference, s the deviation over the entry's seeds. Another machine
    rounds differently, and a trained network may then land anywhere within that spread. Never less
    than `floor`, the measurement's own grain.
    """

    def __init__(self, figure, folder=REFERENCE):
        self.path = pathlib.Path(folder) / f"{figure}.json"

    def write(self, preset, key, numbers, provenance, claims=()):
        """Record `numbers`, {name: values [seeds]}, and the claims, as the entry of `preset`.

        That of the paper preset has its claims in full, and what was recorded before by other code.
        """
        entries, config = self.read(), key["config"]
        repeats = {name: config[name] for name in options.REPEATS if name in config}
        provenance = provenance | {"repeats": repeats}
        earlier = entries.get(preset)
        entries[preset] = {
            "settings": _settings(key),
            "provenance": provenance,
            "numbers": {
                name: {
                    "mean": float(np.mean(v)),
                    "spread": float(np.std(v, ddof=1)) if len(v) > 1 else None,
                    "n": len(v),
                    "values": [float(x) for x in v],
                }
                for name, v in numbers.items()
            },
            "verdicts": {claim.id: claim.passed for claim in claims},
        }
        if preset == "paper":
            entries[preset]["claims"] = [claim.as_dict() for claim in claims]
            if before := _before(earlier, entries[preset]):
                entries[preset]["before"] = before
        store.write_json(self.path, entries)

    def deviations(self, preset, key, numbers, floor=0.005):
        """Numbers that are off: [(name, measured, mean, tolerance)]; None without a matching entry.

        numbers {name: values [seeds]}; the mean over seeds is compared. A number that the entry
        lacks, or that is missing or NaN here, is off.
        """
        entry = self.read().get(preset)
        if entry is None or entry["settings"] != json.loads(store.canonical(_settings(key))):
            return None
        off = []
        for name in sorted({*entry["numbers"], *numbers}):
            known = entry["numbers"].get(name)
            measured = float(np.mean(numbers[name])) if name in numbers else math.nan
            mean = known["mean"] if known else math.nan
            tolerance = 0.0
            if known and name in numbers:
                error = (known["spread"] or 0.0) * math.sqrt(1 / len(numbers[name]) + 1 / known["n"])
                tolerance = max(4 * error, floor)
            if not abs(measured - mean) <= tolerance:
                off.append((name, measured, mean, tolerance))
        return off

    def compare(self, preset, key, numbers):
        """How `numbers` compare: {numbers, agree, differs: [words]}; None without a matching entry."""
        off = self.deviations(preset, key, numbers)
        if off is None:
            return None
        words = [
            f"{name}: {measured:.4f}, reference {mean:.4f} +- {tolerance:.4f}"
            for name, measured, mean, tolerance in off
        ]
        agree = len(numbers) - sum(name in numbers for name, *_ in off)
        return {"numbers": len(numbers), "agree": agree, "differs": words}

    def verdicts(self, config):
        """Which claims held in the recorded run of the paper preset, {id: whether}; None where there is
        none of the settings that this preset has now in the class `config`."""
        entry = self.read().get("paper")
        if entry is None:
            return None
        now = json.loads(store.canonical(options.experiment(options.preset(config, "paper"))))
        return entry.get("verdicts") if entry["settings"] == now else None

    def read(self):
        """The entries, {preset: entry}; none without a file. UsageError where it is no reference."""
        try:
            return archive.read_json(self.path, {str: _ENTRY})
        except FileNotFoundError:
            return {}
        except archive.Damaged as error:
            raise UsageError(f"{error}; restore it from version control.") from None
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read ({error.strerror}).") from None


def _before(earlier, entry):
    """What is kept of the entry that a new one replaces: where other code measured, or judged so that a
    number is another, its numbers and verdicts; of the same, what that one has kept; None where there
    is nothing."""
    if earlier is None:
        return None
    made = earlier.get("provenance", {})
    (measured, judged), (measures, judges) = _made_by(made), _made_by(entry["provenance"])
    unchanged = measured == measures and (judged == judges or _read_alike(earlier, entry))
    if unchanged and earlier.get("claims"):
        return earlier.get("before")
    short = lambda number: {name: number[name] for name in ("mean", "spread", "n")}
    return {
        "settings": earlier["settings"],
        "provenance": made,
        "numbers": {name: short(number) for name, number in earlier["numbers"].items()},
        "verdicts": earlier.get("verdicts", {}),
        "measured": {claim["id"]: claim["measured"] for claim in earlier.get("claims", ())},
    }


def _made_by(provenance):
    """The code that measured, and the code that judged."""
    return (provenance.get("software") or {}).get("code"), provenance.get("judged_by")


def _read_alike(one, other):
    """Whether two entries have the same of every number and claim that both have."""
    for read in (
        lambda entry: {name: number["mean"] for name, number in entry["numbers"].items()},
        lambda entry: {claim["id"]: claim["measured"] for claim in entry.get("claims", ())},
    ):
        a, b = read(one), read(other)
        both = sorted(a.keys() & b.keys())
        values = [np.array([e[i] for i in both], float) for e in (a, b)]  # None, of a file, is NaN
        if not np.array_equal(*values, equal_nan=True):
            return False
    return True


def _settings(key):
    """The settings a reference belongs to: all but which seeds, and how many."""
    return options.experiment(key["config"])
