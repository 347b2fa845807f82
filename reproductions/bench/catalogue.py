"""Every figure, in the order in which a reader meets the paper's story."""

import importlib

FIGURES = (
    # the theory, on a landscape whose answers are known
    "fig1_wedges",
    "toy_cut",
    "toy_probe",
    "toy_tunnel",
    "toy_intersection",
    # networks: between optima, around one, along one run
    "fig2_radial",
    "fig3_tunnel",
    "fig4_short_directions",
    "m_connectors",
    "fig5_widths",
    "fig6_swa",
    "intrinsic_dimension",
    # around one point: Fort & Ganguli's four local properties
    "emergent_outliers",
    "emergent_gradient",
    "emergent_curvature",
    "emergent_goldilocks",
)


def module(name):
    """The figure's module; importing it starts nothing."""
    return importlib.import_module(f"reproductions.{name}")


def title(name):
    """The first line of the figure's docstring, without its full stop."""
    return module(name).__doc__.strip().splitlines()[0].removesuffix(".")
