"""Arrays -> pictures. The only rooms that import matplotlib; they never see a model.

looks         colours that the colour-blind tell apart, and styles: for the screen, for a paper
panels        `grid`, a figure of several panels, and what all axes have in common; `name_lines`
lines         `curve`, `scatter`, `errorbars`: numbers against a setting
maps          `contours`, `matrix`, `phases`: numbers over two settings
planes        `path_on_plane`, `trajectory`: paths through weight space, on a plane
solid         `surface`, in three dimensions; `surface_html`, to turn by hand
spectra       `density`, of a Hessian's eigenvalues

Figures show themselves as the last value of a notebook's cell, and `figure.savefig("name.pdf")` writes
them. A function that returns a figure draws into `ax` instead where that is given.
"""

from wedges.plots.lines import curve, errorbars, scatter
from wedges.plots.looks import BLUE, GREEN, GREY, ORANGE, Picture, shade, style
from wedges.plots.maps import contours, matrix, phases
from wedges.plots.panels import grid, label_axes, name_lines, page
from wedges.plots.planes import path_on_plane, trajectory, window
from wedges.plots.solid import surface, surface_html
from wedges.plots.spectra import density

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "Picture",
    "contours",
    "curve",
    "density",
    "errorbars",
    "grid",
    "label_axes",
    "matrix",
    "name_lines",
    "page",
    "path_on_plane",
    "phases",
    "scatter",
    "shade",
    "style",
    "surface",
    "surface_html",
    "trajectory",
    "window",
]
