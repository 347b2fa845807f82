"""What Yang et al. 2021 claim of a grid, in words and numbers: of the released grids, and of one's own.

C1 to C13 are judged on the released grids: each number against one that was computed before, from the
same release and by other code. R1 to R14 are judged on any two grids, with labels clean and noisy; their
bounds were fixed before a network of ours was trained.
"""

from typing import NamedTuple

import numpy as np

from reproductions.common import taxonomy as grids

_SLICES = {
    **{f"clean{10 * data}": ("clean", data) for data in range(1, 11)},
    **{f"noise{10 * data}": ("noise", data) for data in range(1, 11)},
    "decay": ("decay", 10),
}
_SIX = ("clean100", "clean20", "clean10", "noise100", "noise20", "noise10")
_NINE = (
    "clean100",
    "clean50",
    "clean20",
    "clean10",
    "noise100",
    "noise50",
    "noise20",
    "noise10",
    "decay",
)


# ---- the released grids -----------------------------------------------------------------------------


def judge_released():
    """{id: number}: what C1 to C13 say, of the released grids. Accuracies and shares in percent."""
    slices = {name: grids.released(*which) for name, which in _SLICES.items()}
    numbers = {}
    for name, judge in _RELEASED.items():
        numbers |= {f"{name}.{id}": float(number) for id, number in judge(slices).items()}
    return numbers


def _c1(slices):
    """Where the best cell is; what the best tenth of the cells have in common."""
    in_place = sum(grids.phases(s)[grids.best(s)] == "IV-B" for s in map(slices.get, _NINE))
    decay = slices["decay"]
    top = decay.only(np.argsort(-decay.test_acc)[: decay.cells // 10])
    return {
        "best_is_IV-B": in_place,
        "decay.top.mc_low": top.mc.min(),
        "decay.top.mc_high": top.mc.max(),
        "decay.top.cka": top.cka.min(),
        "decay.top.eigenvalue": np.exp(top.log_top.max()),
        "decay.top.trace": np.exp(top.log_trace.max()),
    }


def _c2(slices):
    return {
        f"{name}.{phase}": accuracy
        for name in _NINE
        for phase, (accuracy, _) in grids.accuracy_by_phase(slices[name]).items()
    }


def _c3(slices):
    numbers = {}
    for name in ("decay", *_SIX):
        pairs = grids.matched_sharpness(slices[name])
        found = {"gain": pairs.mean, "share": 100 * pairs.share, "pairs": len(pairs.gain)}
        numbers |= {f"{name}.{key}": value for key, value in found.items()}
    return numbers


def _c4(slices):
    numbers = {}
    for name in _NINE[:-1]:
        found = grids.contrast(slices[name])
        numbers |= {f"{name}.w{w:g}": g for w, g in zip(found.width, found.gain, strict=True)}
    return numbers


def _c5(slices):
    hot = {name: grids.dips(slices[name]) for name in ("noise100", "clean100", "noise20")}
    wide = {name: grids.dips(slices[name], "width") for name in ("noise100", "noise20")}
    widths = (11, 16, 23, 32, 64)
    steps = [wide["noise100"][bs][0].depth for bs in (92, 128, 256, 512)]
    few = [hot["noise20"][w][0].depth for w in (4, 6, 8)]
    return {
        **{f"noise100.temperature.w{w}": hot["noise100"][w][0].depth for w in widths},
        "noise100.temperature.hottest": min(hot["noise100"][w][1] for w in widths),
        "noise100.temperature.coldest": max(hot["noise100"][w][1] for w in widths),
        "clean100.temperature.most": max(d.depth for w, (d, _) in hot["clean100"].items() if w >= 3),
        "noise100.width.least": min(steps),
        "noise100.width.most": max(steps),
        "noise20.temperature.least": min(few),
        "noise20.temperature.most": max(few),
        "noise20.width.bs16": wide["noise20"][16][0].depth,
    }


def _c6(slices):
    """From which width on no cell has a barrier. The hottest cells, which have not converged, are left
    out: with little data they lie above zero at any width."""
    decay = [width for bs, width in grids.connects_at(slices["decay"]).items() if bs >= 44]
    few = [
        width
        for data in (10, 20, 30, 40)
        for bs, width in grids.connects_at(slices[f"clean{data}"]).items()
        if bs >= 128
    ]
    return {
        "decay.narrowest": min(decay),
        "decay.widest": max(decay),
        "few.narrowest": min(few),
        "few.widest": max(few),
    }


def _c7(slices):
    both = [grids.noise_effect(slices[f"clean{d}"], slices[f"noise{d}"]) for d in range(10, 101, 10)]
    noise = grids.Noise(*map(np.concatenate, zip(*both, strict=True)))
    apart = noise.mc[np.abs(noise.clean_mc) > 0.3]
    return {
        "cells": len(noise.cka),
        "cka": noise.cka.mean(),
        "cka.lower": _percent(noise.cka < 0),
        "log_trace": noise.log_trace.mean(),
        "log_trace.higher": _percent(noise.log_trace > 0),
        "mc": apart.mean(),
        "mc.lower": _percent(apart < 0),
        "accuracy": noise.test_acc.mean(),
    }


def _c8(slices):
    """Two cells along the amount of data: one stays converged, one leaves the converged region."""
    stays = [grids.cell(slices[f"clean{d}"], 64, 512) for d in range(10, 101, 10)]
    leaves = {d: grids.cell(slices[f"clean{d}"], 8, 256) for d in range(10, 101, 10)}
    first, *_, last = stays
    return {
        "stays.accuracy.first": first["test_acc"],
        "stays.accuracy.last": last["test_acc"],
        "stays.cka.first": first["cka"],
        "stays.cka.last": last["cka"],
        "stays.log_trace.first": first["log_trace"],
        "stays.log_trace.last": last["log_trace"],
        "stays.mc.most": max(abs(c["mc"]) for c in stays),
        "leaves.at": min(d for d, c in leaves.items() if c["train_acc"] < grids.CONVERGED),
        "leaves.log_trace.before": leaves[40]["log_trace"],
        "leaves.log_trace.after": leaves[60]["log_trace"],
        "leaves.cka.before": leaves[50]["cka"],
        "leaves.cka.after": leaves[70]["cka"],
    }


def _c9(slices):
    def mean(name, side):
        return np.mean(list(grids.sharpness_with_cold(slices[name], side, least=4).values()))

    done = [mean(name, True) for name in _SIX]
    few = [mean(name, False) for name in _SIX if not name.endswith("100")]
    factors = [np.median(list(grids.jumps(slices[name]).values())) for name in _SIX]
    return {
        "converged.lowest": min(done),
        "converged.highest": max(done),
        "not_converged.full": mean("clean100", False),
        "not_converged.few.lowest": min(few),
        "not_converged.few.highest": max(few),
        "jump.least": min(factors),
        "jump.most": max(factors),
    }


def _c10(slices):
    apart = [
        steps
        for name in _SIX
        for width, steps in grids.batches_apart(slices[name]).items()
        if width >= 8
    ]
    return {"together": sum(steps <= 1 for steps in apart), "columns": len(apart)}


def _c11(slices):
    ends = [grids.unconverged_ends(slices[name]) for name in _SIX]
    cells = sum(end.cells for end in ends)
    return {"not_converged": cells - sum(end.converged for end in ends), "cells": cells}


def _c12(slices):
    decay = slices["decay"]
    wide = decay.only(decay.width >= 8)
    return {"rho": grids.ranks(decay)["l2"], "rho.wide": grids.ranks(wide)["l2"]}


def _c13(slices):
    decay = slices["decay"]
    cells = [cells for _, cells in grids.accuracy_by_phase(decay).values()]
    return {
        "phases": sum(n > 0 for n in cells),
        "decay": decay.test_acc.max(),
        "constant": slices["clean100"].test_acc.max(),
    }


_RELEASED = {
    "C1": _c1,
    "C2": _c2,
    "C3": _c3,
    "C4": _c4,
    "C5": _c5,
    "C6": _c6,
    "C7": _c7,
    "C8": _c8,
    "C9": _c9,
    "C10": _c10,
    "C11": _c11,
    "C12": _c12,
    "C13": _c13,
}


def _percent(mask):
    return 100 * np.mean(mask)


def _known(*rows):
    """{id: number as it was written down}, of rows "prefix: key number, key number"."""
    known = {}
    for row in rows:
        prefix, entries = row.split(": ")
        for entry in entries.split(", "):
            key, number = entry.split(" ")
            known[f"{prefix}.{key}"] = number
    return known


# As many digits as are known. Kept as text: "7.10" is known better than "7.1".
KNOWN = _known(
    "C1: best_is_IV-B 9",
    "C1.decay.top: mc_low -0.04, mc_high 0.00, cka 0.683, eigenvalue 12, trace 57",
    "C2.clean100: I 67.9, II 76.9, III 77.8, IV-A 82.5, IV-B 85.6",
    "C2.decay: I 70.4, II 82.1, III 80.5, IV-A 84.7, IV-B 88.0",
    "C2.clean20: I 52.4, II 63.2, III 53.1, IV-A 62.6, IV-B 69.5",
    "C2.clean10: I 44.9, II 55.6, III 46.2, IV-A 54.0, IV-B 60.4",
    "C2.noise10: I 39.0, II 46.7, III 41.4, IV-A 48.4, IV-B 54.0",
    "C2.noise100: II 71.3, III 72.3",
    "C3.decay: gain 2.5, share 91, pairs 55",
    "C3.clean20: gain 7.1, share 100, pairs 42",
    "C3.clean10: gain 8.0, share 99, pairs 153",
    "C3.noise100: gain 4.9, share 100, pairs 41",
    "C3.noise20: gain 7.2, share 100, pairs 90",
    "C3.noise10: gain 7.5, share 99, pairs 153",
    "C3.clean100: gain 2.3, share 83, pairs 6",
    "C4.clean20: w3 -8.2, w4 -9.2, w6 -2.4, w8 1.6, w16 0.0, w32 5.3, w128 7.8",
    "C4.noise20: w4 -6.8, w6 -2.4, w8 -0.5, w11 4.0, w23 7.5, w64 3.4",
    "C4.noise100: w8 -8.4, w11 -3.7, w16 0.4, w64 4.4",
    "C4.clean50: w4 -9.1",
    "C4.clean100: w6 -1.9",
    "C4.clean10: w3 -3.4, w4 -1.7, w6 2.4",
    "C5.noise100.temperature: w11 6.9, w16 9.2, w23 7.3, w32 8.9, w64 7.1, hottest 92, coldest 256",
    "C5.clean100.temperature: most 3.1",
    "C5.noise100.width: least 2.5, most 3.5",
    "C5.noise20: temperature.least 3, temperature.most 5, width.bs16 6.8",
    "C6: decay.narrowest 16, decay.widest 23, few.narrowest 8, few.widest 11",
    "C7: cells 641, cka -0.114, cka.lower 100, log_trace -0.08, log_trace.higher 39",
    "C7: mc -12.6, mc.lower 96, accuracy -7.3",
    "C8.stays: accuracy.first 58, accuracy.last 85, cka.first 0.53, cka.last 0.71",
    "C8.stays: log_trace.first 3.7, log_trace.last 5.2, mc.most 0",
    "C8.leaves: at 50, log_trace.before 4, log_trace.after 7, cka.before 0.45, cka.after 0.28",
    "C9: converged.lowest 0.85, converged.highest 0.98, not_converged.full 0.98",
    "C9: not_converged.few.lowest 0.3, not_converged.few.highest 0.6, jump.least 13, jump.most 24",
    "C10: together 49, columns 54",
    "C11: not_converged 252, cells 254",
    "C12: rho 0.53, rho.wide -0.07",
    "C13: phases 5, decay 89.9, constant 87.8",
)


def agreement(numbers):
    """{claim: largest difference of its numbers from `KNOWN`, in halves of the last known digit}.

    At most 1 where all are reproduced. A number that is missing or NaN is infinitely far.
    """
    furthest = dict.fromkeys(_RELEASED, 0.0)
    for id, text in KNOWN.items():
        half = 0.5 * 10.0 ** -len(text.partition(".")[2])
        off = abs(numbers.get(id, np.nan) - float(text)) / half
        claim = id.partition(".")[0]
        # A number may lie halfway between two digits, and then on either side of it by rounding.
        furthest[claim] = max(furthest[claim], round(off, 6) if np.isfinite(off) else np.inf)
    return furthest


# ---- two grids --------------------------------------------------------------------------------------


def judge_grids(clean, noise, more_clean=None, more_noise=None):
    """{id: number}: what R1 to R14 say, of two `taxonomy.Grid`s that differ in label noise.

    `more_clean`, `more_noise`: their narrow widths with twice the data, for R10. NaN is what no cell can
    answer; how many can is beside it. `STATEMENTS` has the words and the bounds.
    """
    numbers = {}
    for name, grid in (("clean", clean), ("noise", noise)):
        for claim, judge in _ONE.items():
            numbers |= {f"{claim}.{name}{id}": float(value) for id, value in judge(grid).items()}
    pairs = [_pairs(grid) for grid in (clean, noise)]
    numbers |= {f"R11{id}": value for id, value in _r11(np.concatenate([p.gain for p in pairs])).items()}
    numbers |= {"R11.clean.pairs": len(pairs[0].gain), "R11.noise.pairs": len(pairs[1].gain)}
    numbers |= {f"R12.{id}": float(value) for id, value in _r12(clean, noise).items()}
    return {**numbers, **_hurts({"clean": more_clean, "noise": more_noise})}


def _r1(grid):
    if (i := grids.best(grid)) is None:
        return {".accuracy": np.nan, ".training": np.nan, ".mc": np.nan, ".cka": np.nan}
    known = grid.cka[np.isfinite(grid.cka)]
    similar = np.mean(known >= grid.cka[i]) if np.isfinite(grid.cka[i]) else np.nan
    return {
        ".accuracy": grid.test_acc[i],
        ".training": grid.train_acc[i],
        ".mc": abs(grid.mc[i]),
        ".cka": similar,
    }


def _r5(grid):
    connection = grids.connection(grid)
    ends = (connection.mc[0], connection.mc[-1]) if len(connection.mc) else (np.nan, np.nan)
    return {
        ".widths": len(connection.mc),
        ".bs": connection.bs,
        ".narrow": ends[0],
        ".wide": ends[1],
        ".fall": connection.fall,
    }


def _r6(grid):
    factors = np.array(list(grids.jumps(grid).values()))
    if not len(factors):
        return {".columns": 0, ".share": np.nan, ".factor": np.nan}
    return {".columns": len(factors), ".share": np.mean(factors >= 3), ".factor": np.median(factors)}


def _r7(grid):
    rhos = list(grids.sharpness_with_cold(grid).values())
    return {".widths": len(rhos), "": np.mean(rhos) if rhos else np.nan}


def _r8(grid):
    ends = grids.unconverged_ends(grid)
    return {".cells": ends.cells, "": ends.converged if ends.cells else np.nan}


def _r9(grid):
    apart = np.array(list(grids.batches_apart(grid).values()))
    return {".widths": len(apart), "": np.mean(apart <= 1) if len(apart) else np.nan}


def _r10(grid):
    found = grids.contrast(grid)
    joined, apart = found.gain[found.mc >= -1], found.gain[found.mc < -5]
    both = len(joined) and len(apart)
    return {
        ".connected": len(joined),
        ".barrier": len(apart),
        ".gap": joined.mean() - apart.mean() if both else np.nan,
        ".rho": grids.rank(found.gain, found.mc),
        ".narrowest": found.gain[0] if len(found.gain) else np.nan,
    }


def _r13(grid):
    valleys = [valley for valley, _ in grids.dips(grid).values()]
    clear = [v for v in valleys if v.depth >= 2 and v.depth >= 2 * v.error]
    errors = grid.acc_error is not None
    return {
        ".deepest": max((v.depth for v in valleys), default=np.nan),
        ".columns": len(clear) if errors else np.nan,
    }


def _r14(grid):
    rho = grids.ranks(grid)
    return {".l2": rho["l2"], ".apart": abs(rho["cka"]) - abs(rho["l2"])}


def _of_rank(measure):
    return lambda grid: {"": grids.ranks(grid)[measure]}


def _r4(grid):
    rho = grids.ranks(grid)
    return {"": abs(rho["|mc|"]) - abs(rho["mc"])}


_ONE = {
    "R1": _r1,
    "R2": _of_rank("cka"),
    "R3": _of_rank("|mc|"),
    "R4": _r4,
    "R5": _r5,
    "R6": _r6,
    "R7": _r7,
    "R8": _r8,
    "R9": _r9,
    "R10": _r10,
    "R13": _r13,
    "R14": _r14,
}


def _pairs(grid):
    return grids.matched_sharpness(grid, within=0.3, poor=-3.0, well=-1.0)


def _r11(gain):
    """Of all pairs, each within one level of noise; fewer than five say nothing."""
    enough = len(gain) >= 5
    return {
        ".pairs": len(gain),
        ".share": np.mean(gain > 0) if enough else np.nan,
        ".mean": gain.mean() if enough else np.nan,
    }


def _r12(clean, noise):
    """Of the cells where all three changes are known."""
    change = grids.noise_effect(clean, noise)
    known = np.isfinite(change.cka) & np.isfinite(change.log_trace) & np.isfinite(change.mc)
    if not known.any():
        return {"cells": 0, "cka": np.nan, "log_trace": np.nan, "mc": np.nan}
    return {
        "cells": known.sum(),
        "cka": np.mean(change.cka[known] < 0),
        "log_trace": abs(change.log_trace[known].mean()),
        "mc": np.mean(change.mc[known] <= 0.5),
    }


def _hurts(more):
    """The lowest contrast among poorly connected widths (mc < -10), of each grid and of all."""
    lowest, count = {}, 0
    for name, grid in more.items():
        found = None if grid is None else grids.contrast(grid)
        poor = np.empty(0) if found is None else found.gain[found.mc < -10]
        lowest[name], count = min(poor, default=np.nan), count + len(poor)
    known = [value for value in lowest.values() if np.isfinite(value)]
    return {
        "R10.hurts.widths": count,
        "R10.hurts": float(min(known, default=np.nan)),
        **{f"R10.hurts.{name}": float(value) for name, value in lowest.items()},
    }


# ---- in words ---------------------------------------------------------------------------------------


class Statement(NamedTuple):
    """A claim in words, or a number that is only reported: then `relation` and `bound` are None.

    Attributes:
      id: that of the number in `judge_grids`, or of the claim in `agreement`.
      statement: what is claimed, with the definition of the number.
      relation, bound: what the number must be, e.g. ">=", 0.7.
      source: who claims it; the numbers in it are those of the released grids.
    """

    id: str
    statement: str
    relation: str | None
    bound: float | None
    source: str


def claimed(numbers, statements):
    """({id: number} of which something is claimed, {id: number} that are only reported)."""
    bounds = {s.id: s.relation for s in statements}
    judged = {id: number for id, number in numbers.items() if bounds[id]}
    return judged, {id: number for id, number in numbers.items() if not bounds[id]}


_PAPER = f"{grids.SOURCE}, "


def _on_both(id, statement, relation, bound, source):
    """The statement about a grid, for each level of noise; a star in `id` is the level's place."""
    return [
        Statement(id.replace("*", name), f"{label}: {statement}", relation, bound, _PAPER + source)
        for name, label in (("clean", "clean labels"), ("noise", "noisy labels"))
    ]


def _on_one(id, statement, relation, bound, source):
    return [Statement(id, statement, relation, bound, _PAPER + source)]


_FIG2 = "abstract and Fig. 2: the best cells are flat, well connected and similar; so are the released"
_CKA = "Fig. 2; released 5,000 images, 20 cells: 0.91 clean, 0.97 noisy"
_MC = "Fig. 2; released 5,000 images, 20 cells: -0.88 clean, -0.95 noisy"
_SIGNED = "our reading; released, 20 cells: 0.88 against 0.81 clean, 0.95 against 0.78 noisy"
_WIDTH = "Section 5: width connects; released, 20 cells: from -43 to 0 clean, from -53 to 0 noisy"
_JUMP = "Fig. 2: the Hessian falls where the loss does; released 5,000 images: 13 and 22 times"
_COLD = "Fig. 2 and D.7; released 5,000 images: 0.96 clean, 0.98 noisy"
_ENDS = "A.2; released 5,000 images: none of 10 clean, none of 12 noisy"
_PEAKS = "Fig. 2; released 5,000 images, widths from 8 on: in 8 of 9, both"
_HURT = "abstract and Fig. 4; released 5,000 images: 4.6 against -2.6 clean, 7.0 against 0.0 noisy"
_MORE = "abstract and Fig. 4; released 10,000 images: -8 and -9 clean, -7 noisy"
_MATCHED = "Fig. 2: local sharpness alone is not enough; released 5,000 images: 99%, +8 points"
_NOISE = "Fig. 8; released: CKA lower in 100%, ln trace -0.08, mc lower in 99% of 641 cells"
_DESCENT = "Fig. 4; released, noisy: 7 to 9 points on all data, up to 4 on 5,000 images"
_L2 = "Fig. 2g; released with decay: 0.53 against 0.89"

STATEMENTS = [
    *_on_both("R1.*.training", "training accuracy of the best cell, %", ">=", 99.9, _FIG2),
    *_on_both("R1.*.mc", "|mc| of the best cell, points of error", "<=", 1.0, _FIG2),
    *_on_both("R1.*.cka", "part of the cells whose CKA is the best cell's or above", "<=", 1 / 3, _FIG2),
    *_on_both("R1.*.accuracy", "test accuracy of the best cell, %", None, None, _FIG2),
    *_on_both("R2.*", "rank correlation of CKA and test accuracy", ">=", 0.7, _CKA),
    *_on_both("R3.*", "rank correlation of |mc| and test accuracy", "<=", -0.5, _MC),
    *_on_both("R4.*", "by how much |mc| ranks test accuracy better than mc does", ">", 0.0, _SIGNED),
    *_on_both(
        "R5.*.narrow", "mc of the narrowest converged width at the coldest batch", "<=", -3.0, _WIDTH
    ),
    *_on_both("R5.*.wide", "mc of the widest converged width at the coldest batch", ">=", -1.0, _WIDTH),
    *_on_both("R5.*.fall", "how far mc falls with width there, points of error", "<=", 2.0, _WIDTH),
    *_on_both("R5.*.widths", "widths that have converged at the coldest batch", None, None, _WIDTH),
    *_on_both("R5.*.bs", "coldest batch at which two widths have converged", None, None, _WIDTH),
    *_on_both(
        "R6.*.share",
        "part of the widths where the largest eigenvalue falls 3 times or more as the loss goes to zero",
        ">=",
        2 / 3,
        _JUMP,
    ),
    *_on_both("R6.*.columns", "widths where the loss goes to zero on the grid", None, None, _JUMP),
    *_on_both("R6.*.factor", "median fall of the largest eigenvalue there", None, None, _JUMP),
    *_on_both(
        "R7.*",
        "rank correlation of batch size and ln trace at fixed width, converged cells, mean over widths",
        ">=",
        0.6,
        _COLD,
    ),
    *_on_both("R7.*.widths", "widths with at least three converged cells", None, None, _COLD),
    *_on_both(
        "R8.*", "converged cells among those with mc > 1 (standard error below 1)", "<=", 0.0, _ENDS
    ),
    *_on_both("R8.*.cells", "cells with mc > 1 (standard error below 1)", None, None, _ENDS),
    *_on_both(
        "R9.*",
        "part of the widths where the batch of best CKA is that of best accuracy, or next to it",
        ">=",
        0.75,
        _PEAKS,
    ),
    *_on_both("R9.*.widths", "widths where CKA and accuracy are known", None, None, _PEAKS),
    *_on_both(
        "R10.*.gap",
        "best converged minus best unconverged accuracy: well connected widths (mc >= -1) minus poorly "
        "connected ones (mc < -5), points",
        ">=",
        3.0,
        _HURT,
    ),
    *_on_both("R10.*.rho", "rank correlation over widths of that contrast and mc", ">", 0.0, _HURT),
    *_on_both("R10.*.connected", "well connected widths with that contrast", None, None, _HURT),
    *_on_both("R10.*.barrier", "poorly connected widths with that contrast", None, None, _HURT),
    *_on_both("R10.*.narrowest", "that contrast of the narrowest width, points", None, None, _HURT),
    *_on_one(
        "R10.hurts",
        "twice the data, narrow widths with mc < -10: lowest of best converged minus best unconverged "
        "accuracy, points",
        "<=",
        -1.0,
        _MORE,
    ),
    *_on_one("R10.hurts.widths", "narrow widths with mc < -10 and that contrast", None, None, _MORE),
    *_on_both("R10.hurts.*", "the lowest such contrast, points", None, None, _MORE),
    *_on_one(
        "R11.share",
        "pairs of equal sharpness (ln trace within 0.3), mc < -3 against > -1: part in which the "
        "connected one is better",
        ">=",
        0.8,
        _MATCHED,
    ),
    *_on_one("R11.mean", "mean gain of these pairs, points", ">=", 1.0, _MATCHED),
    *_on_one("R11.pairs", "such pairs; fewer than five say nothing", None, None, _MATCHED),
    *_on_both("R11.*.pairs", "such pairs", None, None, _MATCHED),
    *_on_one("R12.cka", "part of the cells converged in both whose CKA noise lowers", ">=", 0.8, _NOISE),
    *_on_one("R12.log_trace", "|mean change of ln trace by noise|", "<=", 0.5, _NOISE),
    *_on_one("R12.mc", "part of the cells whose mc noise does not raise by over 0.5", ">=", 0.8, _NOISE),
    *_on_one("R12.cells", "cells converged in both", None, None, _NOISE),
    *_on_both(
        "R13.*.deepest", "deepest dip of accuracy along temperature, points", None, None, _DESCENT
    ),
    *_on_both(
        "R13.*.columns",
        "widths with a dip of 2 points and 2 standard errors; NaN where these are not known",
        None,
        None,
        _DESCENT,
    ),
    *_on_both("R14.*.l2", "rank correlation of distance and test accuracy", None, None, _L2),
    *_on_both(
        "R14.*.apart", "by how much CKA ranks test accuracy better (0.3 expected)", None, None, _L2
    ),
]


_REPRODUCED = "largest difference from the known numbers, in halves of their last digit"
_SAID = [
    ("C1", "the best test accuracy is in phase IV-B", "abstract and Fig. 2"),
    ("C2", "mean accuracy of each phase", "Fig. 2"),
    ("C3", "what connectivity is worth at equal sharpness", "Fig. 2"),
    ("C4", "what training to zero loss is worth at each width", "abstract, Fig. 4 and D.3"),
    ("C5", "double descent with label noise", "Fig. 4"),
    ("C6", "the width at which the networks become connected", "Section 5"),
    ("C7", "what label noise does to connectivity, similarity and the Hessian", "Fig. 8"),
    ("C8", "what more data do", "Fig. 6 and 7"),
    ("C9", "the Hessian against temperature, on both sides of the transition", "Fig. 2 and D.7"),
    ("C10", "similarity is highest where accuracy is", "Fig. 2"),
    ("C11", "curves below their ends only where the ends have not converged", "A.2"),
    ("C12", "distance does not tell accuracy", "Fig. 2g"),
    ("C13", "a decayed learning rate keeps the phases and gains accuracy", "Fig. 3 and 13"),
]
RELEASED = [
    Statement(id, f"{words}: {_REPRODUCED}", "<=", 1.0, _PAPER + where) for id, words, where in _SAID
]
