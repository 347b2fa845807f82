"""A differential equation's loss as a landscape: deep Ritz, deep Galerkin, or a residual of one's own.

    problem, ball = wedges.collocation.on_ball(3), wedges.collocation.Ball(3)      -Laplace u = f
    residual = wedges.collocation.Galerkin(problem.source)                         or Ritz(...)
    landscape = wedges.Collocation(model, residual, ball.quadrature(8), boundary=ball)

The unknown u(x) is a Keras model, or one times a factor that vanishes on the boundary. The loss is the
mean of a residual over the domain, which knows u, its gradient and its Laplacian by x; theta is the
model's weights. So descents, the Hessian, interpolation and every probe work on it as on any landscape.

    Collocation                   the landscape
    Ritz, Galerkin                residuals of -Laplace u = f: its energy, its squared error
    Cube, Ball                    domains: points, quadrature, the factor that vanishes on the boundary
    Quadrature, Fresh, Penalty    which points: weighted ones, new ones at each step, on the boundary
    Poisson, on_cube, on_ball     problems whose solution is known
    Field, differentiate          u with its derivatives by x; those of any function

Modules: `domains` and `points` are where the loss is taken, `problems` what is solved, `fields` and
`forward` the derivatives by x, `landscape` the loss.

Source: E & Yu 2018 (arXiv:1710.00211), deep Ritz; Sirignano & Spiliopoulos 2018 (arXiv:1708.07469), deep
Galerkin.
"""

from wedges.collocation.domains import Ball as Ball
from wedges.collocation.domains import Cube as Cube
from wedges.collocation.domains import Domain as Domain
from wedges.collocation.fields import Field as Field
from wedges.collocation.fields import differentiate as differentiate
from wedges.collocation.landscape import Collocation as Collocation
from wedges.collocation.points import Fresh as Fresh
from wedges.collocation.points import Penalty as Penalty
from wedges.collocation.points import Quadrature as Quadrature
from wedges.collocation.problems import Galerkin as Galerkin
from wedges.collocation.problems import Poisson as Poisson
from wedges.collocation.problems import Ritz as Ritz
from wedges.collocation.problems import on_ball as on_ball
from wedges.collocation.problems import on_cube as on_cube
