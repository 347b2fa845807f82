"""The figures there are: every program in reproductions/ but the two that are none.

`STORY` puts them in the order in which a reader meets the papers' story, by chapter. A figure that it
does not name comes last.
"""

import difflib
import importlib
import pathlib

from reproductions.bench.errors import UsageError

STORY = {
    "the theory, on a landscape whose answers are known": (
        "fig1_wedges",
        "toy_cut",
        "toy_probe",
        "toy_tunnel",
        "toy_intersection",
    ),
    "networks: between optima, around one, along one run": (
        "fig2_radial",
        "fig3_tunnel",
        "fig4_short_directions",
        "m_connectors",
        "star_centres",
        "fig5_widths",
        "fig6_swa",
        "generality",
        "intrinsic_dimension",
    ),
    "around one point: four local properties": (
        "emergent_outliers",
        "emergent_gradient",
        "emergent_curvature",
        "emergent_goldilocks",
    ),
    "local against global structure: phases over load and temperature": (
        "taxonomy_phases",
        "taxonomy_rugged",
        "taxonomy_diagnosis",
    ),
    "what training did: from the first weights to the last": (
        "monotonic_interpolation",
        "loss_allocation",
        "compressibility",
    ),
    "what a network's derivatives say: the tangent kernel": ("tangent_kernel",),
    "other losses: differential equations": ("roughness",),
}
PROGRAMS = ("run_all", "report")  # that are no figure


def _found():
    files = pathlib.Path(__file__).parents[1].glob("*.py")
    names = {p.stem for p in files if not p.stem.startswith("_")} - set(PROGRAMS)
    told = [name for chapter in STORY.values() for name in chapter if name in names]
    return (*told, *sorted(names - set(told)))


FIGURES = _found()


def module(name):
    """The figure's module; importing it starts nothing."""
    return importlib.import_module(f"reproductions.{name}")


def require(name):
    """UsageError, with what may have been meant, where no figure or other program has this name."""
    names = (*FIGURES, *PROGRAMS)
    if name in names:
        return
    plain = name.lower().replace("-", "_")
    near = [n for n in names if n.startswith(plain)] or difflib.get_close_matches(plain, names, n=3)
    asked = f" Did you mean {' or '.join(near)}?" if near else ""
    raise UsageError(f"there is no program {name!r}.{asked} python -m reproductions lists all.")


def title(name):
    """The first line of a program's docstring, without its full stop."""
    return module(name).__doc__.strip().splitlines()[0].removesuffix(".")


def listing():
    """All programs in the story's order, a line each with its title, under their chapters."""
    width = max(map(len, FIGURES))
    line = lambda name: f"  {name:{width}}  {title(name)}"
    chapters = dict(STORY)
    if others := [name for name in FIGURES if not any(name in c for c in STORY.values())]:
        chapters["others"] = others
    lines = ["python -m reproductions.<program> --help says more of each.", ""]
    for chapter, names in {**chapters, "all of them": PROGRAMS}.items():
        lines += [f"{chapter}:", *(line(n) for n in names if n in FIGURES + PROGRAMS), ""]
    return "\n".join(lines).rstrip()
