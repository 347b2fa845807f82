"""Losses of differential equations against closed forms, quadrature by hand and nested tapes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import wedges
from wedges.collocation import (
    Ball,
    Cube,
    Field,
    Fresh,
    Galerkin,
    Penalty,
    Quadrature,
    Ritz,
    differentiate,
    on_ball,
    on_cube,
)

pytestmark = pytest.mark.usefixtures("doubles")

F, AT = Galerkin(on_cube(2).source), Cube(2).uniform(4, seed=0)
F1 = Galerkin(on_cube(1).source)
PROBLEMS = [on_cube(1), on_cube(2), on_cube(3), on_ball(1), on_ball(2), on_ball(3)]
named = lambda problem: str(problem.domain)


def net(d, *stack):
    return keras.Sequential([keras.Input((d,)), *(stack or [layers.Dense(4, "silu"), layers.Dense(1)])])


def residual_net(d, activation="silu", blocks=2):
    """The authors' network: residual blocks between two linear layers."""
    x = keras.Input((d,))
    y = layers.Dense(5)(x)
    for _ in range(blocks):
        y = layers.Add()([y, layers.Dense(5, activation)(layers.Dense(5, activation)(y))])
    return keras.Model(x, layers.Dense(1)(y))


def points(landscape, count=3):
    rng = np.random.default_rng(0)
    theta = landscape.space.read().numpy()
    return theta + 0.3 * rng.standard_normal((count, len(theta)))


# ---- domains and problems ---------------------------------------------------------------------------


@pytest.mark.parametrize("problem", PROBLEMS, ids=named)
def test_the_solution_solves_the_problem_and_vanishes_on_the_boundary(problem):
    x = problem.domain.uniform(50, seed=0)
    u = differentiate(problem.solution, x)
    np.testing.assert_allclose(-u.laplacian, problem.source(tf.constant(x)), rtol=1e-9)
    edge = problem.domain.boundary(20, seed=1)
    np.testing.assert_allclose(problem.solution(edge), 0, atol=1e-12)
    assert problem.domain.contains(x).all() and problem.domain.contains(edge).all()


@pytest.mark.parametrize("problem", PROBLEMS, ids=named)
def test_the_least_energy_is_that_of_the_solution(problem):
    x, weights = problem.domain.quadrature(14)
    u = differentiate(problem.solution, x, laplacian=False)
    energies = Ritz(problem.source)(tf.constant(x), u).numpy()
    np.testing.assert_allclose(weights @ energies, problem.energy, rtol=1e-9)
    steep = (u.gradient.numpy() ** 2).sum(axis=1)
    np.testing.assert_allclose(weights @ steep, -2 * problem.energy, rtol=1e-9)
    squares = Galerkin(problem.source)(tf.constant(x), differentiate(problem.solution, x))
    np.testing.assert_allclose(squares, 0, atol=1e-20)


def test_least_energies_in_figures():
    for d, energy in ((1, -2.46740110), (10, -0.04819143)):
        np.testing.assert_allclose(on_cube(d).energy, energy, atol=1e-8)
    exact = -(3 * np.pi**2 / 8) * (1 / 6 + 1 / np.pi**2)
    np.testing.assert_allclose(on_ball(3).energy, exact, rtol=1e-12)
    np.testing.assert_allclose(exact, -0.99185, atol=1e-5)


def test_the_source_of_the_ball_is_finite_at_its_middle():
    for d in (1, 2, 3):
        np.testing.assert_allclose(on_ball(d).source(tf.zeros([1, d], tf.float64)), d * np.pi**2 / 4)


@pytest.mark.parametrize("domain", [Cube(1), Cube(3), Ball(1), Ball(2), Ball(3), Ball(5)], ids=str)
def test_the_factor_is_above_zero_inside_and_its_derivatives_are_those_of_tapes(domain):
    x = tf.constant(domain.uniform(20, seed=3))
    known = {
        Cube: lambda x: tf.reduce_prod(x * (1 - x), axis=-1),
        Ball: lambda x: 1 - tf.reduce_sum(x * x, axis=-1),
    }[type(domain)]
    for found, wanted in zip(domain.factor(x), differentiate(known, x), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-13)
    assert (domain.factor(x).value.numpy() > 0).all()
    edge = domain.factor(tf.constant(domain.boundary(20, seed=0))).value
    np.testing.assert_allclose(edge, 0, atol=1e-12)


@pytest.mark.parametrize("domain", [Cube(2), Ball(1), Ball(2), Ball(3)], ids=str)
def test_a_quadrature_has_the_means_of_polynomials(domain):
    """Of x_1^2 x_2^4: on the cube 1/3 1/5; on the ball by the moments of a Gaussian."""
    x, weights = domain.quadrature(4)
    np.testing.assert_allclose(weights.sum(), 1)
    assert domain.contains(x).all() and (weights > 0).all()
    powers = np.array([2, 4, 0][: domain.dimension])
    found = weights @ np.prod(x**powers, axis=1)
    if isinstance(domain, Cube):
        np.testing.assert_allclose(found, 1 / 15)
        return
    d, degree = domain.dimension, powers.sum()
    # E prod g_i^p_i = E |g|^degree times the mean on the sphere; r^degree has the mean d / (d + degree).
    gauss = {2: 1.0, 4: 3.0, 0: 1.0}
    length = np.prod([d + 2 * i for i in range(degree // 2)])
    sphere = np.prod([gauss[p] for p in powers]) / length
    np.testing.assert_allclose(found, sphere * d / (d + degree), rtol=1e-12)


@pytest.mark.parametrize("domain", [Cube(2), Ball(3)], ids=str)
def test_fresh_points_are_uniform_and_belong_to_their_step(domain):
    draw = lambda n, seed, step: domain.draw(n, seed, step, tf.float64).numpy()
    x = draw(20_000, 5, 3)
    assert domain.contains(x).all()
    np.testing.assert_array_equal(x, draw(20_000, 5, tf.constant(3)))
    assert not np.isin(draw(100, 5, 4), x).any() and not np.isin(draw(100, 6, 3), x).any()
    at, weights = domain.quadrature(3)
    for power in (1, 2):
        np.testing.assert_allclose((x**power).mean(axis=0), weights @ at**power, atol=0.02)


# ---- derivatives by x -------------------------------------------------------------------------------


def test_a_field_of_products_has_the_product_rule():
    x = tf.constant(Cube(2).uniform(9, seed=0))
    u, v = (lambda x: tf.sin(x[:, 0] * x[:, 1])), (lambda x: tf.exp(x[:, 0] - x[:, 1] ** 2))
    found = differentiate(u, x).times(differentiate(v, x))
    for a, b in zip(found, differentiate(lambda x: u(x) * v(x), x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert differentiate(u, x, laplacian=False).times(differentiate(v, x)).laplacian is None


def joins(d):
    x = keras.Input((d,))
    a, b = layers.Dense(4, "tanh")(x), layers.Dense(4, "sigmoid", use_bias=False)(x)
    y = layers.Concatenate()([layers.Multiply()([a, b]), layers.Subtract()([a, b]), x])
    y = layers.Average()([layers.Dense(3)(y), layers.Dense(3, "gelu")(y)])
    return keras.Model(x, layers.Dense(1)(layers.Dropout(0.5)(y)))


def sines(d):
    return net(d, layers.Dense(4, tf.sin), layers.Rescaling(0.5, 0.1), layers.Dense(1, "softplus"))


def nested(d):
    return net(
        d,
        keras.Sequential([keras.Input((d,)), layers.Dense(4, "elu")]),
        residual_net(4),
        layers.Dense(1),
    )


def frozen(d):
    model = net(d, layers.Dense(4, "tanh"), layers.Dense(4, "silu"), layers.Dense(1))
    model.layers[1].trainable = False
    return model


def linear(d):
    return net(d, layers.Dense(1))


FORWARD = [residual_net, joins, sines, nested, frozen, linear]


def both(make, kind):
    """The landscape by each way, and a few thetas."""
    model, problem = make(3), on_ball(3)
    how = {"boundary": problem.domain}
    made = [
        wedges.Collocation(
            model, kind(problem.source), problem.domain.quadrature(2), derivatives=way, **how
        )
        for way in (None, "reverse")
    ]
    assert [landscape.derivatives for landscape in made] == ["forward", "reverse"]
    return *made, points(made[0])


@pytest.mark.parametrize("make", FORWARD, ids=lambda make: make.__name__)
def test_carried_forward_all_is_as_by_nested_tapes(make):
    first, other, theta = both(make, Galerkin)
    for a, b in zip(first.field(theta[0]), other.field(theta[0]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)
    losses, gradients = first.value_and_gradient(theta)
    for i in (0, 2):
        loss, gradient = other.value_and_gradient(theta[i])
        np.testing.assert_allclose(losses[i], loss, rtol=1e-9)
        np.testing.assert_allclose(gradients[i], gradient, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(first(theta[1]), losses[1], rtol=1e-12)


@pytest.mark.parametrize("kind", [Ritz, Galerkin])
def test_its_products_with_the_hessian_are_so_too(kind):
    model, problem = net(1, layers.Dense(3, "tanh"), layers.Dense(1)), on_cube(1)
    how = {"boundary": problem.domain}
    at = problem.domain.quadrature(4)
    first, other = (
        wedges.Collocation(model, kind(problem.source), at, derivatives=way, **how)
        for way in ("forward", "reverse")
    )
    theta = points(first)
    np.testing.assert_allclose(first(theta), other(theta), rtol=1e-10)
    products = [each.hessian_product(theta[0], theta[1:]) for each in (first, other)]
    np.testing.assert_allclose(*products, rtol=1e-7, atol=1e-8)
    for a, b in zip(*(each.value_and_gradient(theta) for each in (first, other)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("penalty", [False, True])
def test_without_a_laplacian_one_theta_goes_by_tapes_and_several_forwards(monkeypatch, penalty):
    from wedges.collocation import landscape as module

    monkeypatch.setattr(module, "compiled", lambda function: function)  # traced calls would hide it
    model, problem = residual_net(3, blocks=1), on_ball(3)
    boundary = Penalty(Ball(3).boundary(5, seed=0), 2.0) if penalty else problem.domain
    fresh = Fresh(problem.domain, 11, seed=2, measured=problem.domain.quadrature(2))
    chosen, first, other = (
        wedges.Collocation(model, Ritz(problem.source), fresh, boundary=boundary, derivatives=way)
        for way in (None, "forward", "reverse")
    )
    assert [each.derivatives for each in (chosen, first, other)] == ["either", "forward", "reverse"]
    assert "float64, reverse at one theta, forward at several)" in repr(chosen)
    ways, carried, taped = [], module.forward.field, module.Collocation._taped
    monkeypatch.setattr(module.forward, "field", lambda *a: ways.append("forward") or carried(*a))
    monkeypatch.setattr(module.Collocation, "_taped", lambda *a: ways.append("reverse") or taped(*a))
    theta = points(first)
    v = np.random.default_rng(1).standard_normal(theta.shape)

    def way(call, *args):
        """How the landscape that chooses found what the others agree on."""
        ways.clear()
        mine, found = call(chosen, *args), set(ways)
        for each in (first, other):
            for a, b in zip(tf.nest.flatten(mine), tf.nest.flatten(call(each, *args)), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9)
        return found

    kind = wedges.Collocation
    for call in (kind.__call__, kind.value_and_gradient, lambda landscape, t: landscape.sample(t, 3)):
        assert way(call, theta[0]) == way(call, theta[:1]) == {"reverse"}
        assert way(call, theta) == way(call, theta[:, None]) == {"forward"}
    assert way(kind.hessian_product, theta[0], v[0]) == {"reverse"}
    assert way(kind.hessian_product, theta[0], v) == {"forward"}
    assert way(kind.field, theta[0]) == {"forward"}  # with its Laplacian


def test_the_field_is_that_of_differences_of_the_model():
    model = residual_net(2)
    landscape = wedges.Collocation(model, Galerkin(on_cube(2).source), Cube(2).uniform(5, seed=0))
    x, h = landscape.x.numpy(), 1e-4
    u = landscape.field(landscape.space.read())
    values = lambda x: model(x).numpy()[:, 0]
    np.testing.assert_allclose(u.value, values(x), rtol=1e-12)
    second = 0
    for i, e in enumerate(h * np.eye(2)):
        np.testing.assert_allclose(
            u.gradient[:, i], (values(x + e) - values(x - e)) / (2 * h), atol=1e-7
        )
        second += (values(x + e) - 2 * values(x) + values(x - e)) / h**2
    np.testing.assert_allclose(u.laplacian, second, atol=1e-5)


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.last = layers.Dense(3, "tanh"), layers.Dense(1)

    def call(self, x):
        return self.last(self.first(x)) * keras.ops.sum(x, axis=1, keepdims=True)


def differences(model, x, h=1e-4):
    """Laplace of the model's output at x [N, d], by central differences."""
    u = lambda x: model(x).numpy()[:, 0]
    return sum((u(x + e) - 2 * u(x) + u(x - e)) / h**2 for e in h * np.eye(x.shape[1]))


def slopes_are_those_of_differences(landscape, bends=True):
    """Of the loss by theta, and of the slopes along one direction."""
    theta = points(landscape)[1]
    v = np.random.default_rng(5).standard_normal(len(theta))
    h = 1e-5 / np.linalg.norm(v)
    gradient = landscape.value_and_gradient(theta)[1]
    ahead, behind = theta + h * v, theta - h * v
    slope = (landscape(ahead) - landscape(behind)) / (2 * h)
    np.testing.assert_allclose(np.dot(gradient, v), slope, rtol=1e-5)
    if not bends:
        return
    product = landscape.hessian_product(theta, v)
    bend = [landscape.value_and_gradient(t)[1] for t in (ahead, behind)]
    along = np.dot(bend[0] - bend[1], v) / (2 * h)
    np.testing.assert_allclose(np.dot(product, v), along, rtol=1e-4)
    np.testing.assert_allclose(landscape.jet(theta, v)[1:], [slope, along], rtol=1e-4)


@pytest.mark.parametrize("norm", [layers.LayerNormalization, layers.BatchNormalization])
def test_a_normalisation_s_second_derivatives_are_right(norm):
    """TensorFlow's own of `tf.nn.moments`, which Keras calls, are not."""
    normal = lambda seed: keras.initializers.RandomNormal(0, 1.0, seed=seed)
    first = layers.Dense(4, kernel_initializer=normal(0), bias_initializer=normal(1))
    model = net(2, first, norm(), layers.Activation("tanh"), layers.Dense(1))
    landscape = wedges.Collocation(model, Galerkin(on_cube(2).source), Cube(2).uniform(5, seed=0))
    found = landscape.field(landscape.space.read()).laplacian
    known = differences(model, landscape.x.numpy())
    np.testing.assert_allclose(found, known, rtol=1e-3, atol=1e-5)
    slopes_are_those_of_differences(landscape, bends=norm is layers.BatchNormalization)
    around = wedges.Squared(landscape)  # which takes derivatives of its own
    theta = points(landscape)[1]
    loss, gradient = landscape.value_and_gradient(theta)
    np.testing.assert_allclose(around.value_and_gradient(theta)[1], loss * gradient, rtol=1e-8)
    if norm is layers.LayerNormalization:
        product = landscape.hessian_product(theta, gradient)
        known = loss * product + gradient * tf.reduce_sum(gradient**2)
        np.testing.assert_allclose(around.hessian_product(theta, gradient), known, rtol=1e-8)
    function = lambda x: tf.nn.moments(x**2, axes=[1])[1]  # of x^2, y^2: (x^2 - y^2)^2 / 4
    u = differentiate(function, np.array([[1.0, 2.0]]))
    np.testing.assert_allclose(u.laplacian, [2 * (1 + 4)], rtol=1e-12)


@pytest.mark.parametrize("way", ["forward", "reverse"])
def test_softsign_has_second_derivatives(way):
    model = net(2, layers.Dense(4, "softsign"), layers.Dense(1))
    landscape = wedges.Collocation(
        model, Galerkin(on_cube(2).source), Cube(2).uniform(5, seed=0), derivatives=way
    )
    found = landscape.field(landscape.space.read()).laplacian
    np.testing.assert_allclose(found, differences(model, landscape.x.numpy()), atol=1e-5)
    slopes_are_those_of_differences(landscape, bends=way == "forward")  # by tapes it takes long


@pytest.mark.parametrize("residual", [Galerkin, Ritz])
def test_softsign_is_minimised_through_tapes_alone(residual):
    """An optimizer's own tape goes around them, and finds a third derivative in TensorFlow."""
    model = net(1, layers.Dense(3, "softsign"), layers.Dense(1))
    cube, ends = on_cube(1), []
    for way in ("forward", "reverse"):
        landscape = wedges.Collocation(
            model, residual(cube.source), Cube(1).uniform(5, seed=0), derivatives=way
        )
        start, adam = landscape.space.read(), keras.optimizers.Adam(0.1)
        ends.append(wedges.minimize(landscape, start, adam, 3).theta)
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-6)
    assert np.abs(ends[0] - start).max() > 0.2


def test_plain_tapes_know_three_derivatives_of_softsign():
    z = tf.constant([-3.0, -0.5, 0.25, 2.0], tf.float64)
    with tf.GradientTape() as third:
        third.watch(z)
        with tf.GradientTape() as second:
            second.watch(z)
            with tf.GradientTape() as first:
                first.watch(z)
                value = tf.nn.softsign(z)
            slope = first.gradient(value, z)
        bend = second.gradient(slope, z)
    by = 1 / (1 + np.abs(z))  # of z by, one after the other: by^2, -2 sign(z) by^3, 6 by^4
    np.testing.assert_allclose(slope, by**2, rtol=1e-12)
    np.testing.assert_allclose(bend, -2 * np.sign(z) * by**3, rtol=1e-12)
    np.testing.assert_allclose(third.gradient(bend, z), 6 * by**4, rtol=1e-12)


def test_an_operation_without_a_second_derivative_is_named():
    bent = lambda z: tf.math.igamma(1 + z * z, tf.ones_like(z))
    model = net(2, layers.Dense(4, bent), layers.Dense(1))
    with pytest.raises(ValueError, match="the operation IgammaGradA, which has no second derivative"):
        wedges.Collocation(model, F, AT)


class Twice(keras.Model):
    """A graph of layers, with a call that makes more of them."""

    def call(self, x, training=None):
        return 2 * super().call(x, training=training)


def test_what_a_call_adds_shows_also_where_the_model_s_own_weights_are_0():
    x = keras.Input((2,))
    model = Twice(x, layers.Dense(1, kernel_initializer="zeros")(layers.Dense(3, "tanh")(x)))
    landscape = wedges.Collocation(model, F, AT)
    assert landscape.derivatives == "reverse"
    theta = points(landscape)[1]
    u = landscape.field(theta).value
    landscape.write(theta)
    np.testing.assert_allclose(u, model(AT).numpy()[:, 0], rtol=1e-12)


def test_a_loss_that_does_not_move_with_theta_has_derivatives_of_0():
    """The Laplacian of a linear model is 0 whatever its weights."""
    for way in ("forward", "reverse"):
        landscape = wedges.Collocation(net(2, layers.Dense(1)), F, AT, derivatives=way)
        theta = points(landscape)
        loss, gradient = landscape.value_and_gradient(theta[0])
        np.testing.assert_allclose(loss, landscape(theta[1]))
        assert not np.any(gradient) and not np.any(landscape.hessian_product(theta[0], theta[1:]))


class Scaled(layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, x):
        return self.scale * x


def test_weights_without_axes_take_several_thetas():
    landscape = wedges.Collocation(net(1, Scaled()), lambda x, u: u.gradient[..., 0], [[0.5]])
    np.testing.assert_allclose(landscape([[2.0], [3.0]]), [2, 3])


def test_a_model_that_couples_points_is_refused():
    """Also one whose coupling is hidden in an activation: it does the same to rows and columns."""
    for coupled in (lambda z: z - tf.reduce_mean(z), lambda z: z - tf.reduce_mean(z, axis=0)):
        model = net(2, layers.Dense(3), layers.Lambda(coupled), layers.Dense(1))
        with pytest.raises(ValueError, match="^model '.*' must give u at a point from this point alone"):
            wedges.Collocation(model, F, AT)


def own(d):
    model = Own()
    model(np.zeros((1, d)))
    return model


def softmaxed(d):
    return net(d, layers.Dense(3, "softmax"), layers.Dense(1))


def normed(d):
    return net(d, layers.Dense(3), layers.LayerNormalization(), layers.Dense(1))


@pytest.mark.parametrize(
    ("make", "why"), [(own, "the call of Own"), (softmaxed, "the layer"), (normed, "LayerNormalization")]
)
def test_any_other_model_goes_by_nested_tapes(make, why):
    model, f = make(2), Galerkin(on_cube(2).source)
    landscape = wedges.Collocation(model, f, Cube(2).quadrature(3))
    assert landscape.derivatives == "reverse"
    theta = points(landscape)
    np.testing.assert_allclose(landscape(theta), [landscape(t) for t in theta], rtol=1e-12)
    with pytest.raises(ValueError, match=f"^derivatives must be 'reverse' or None for this.*{why}"):
        wedges.Collocation(model, f, Cube(2).quadrature(3), derivatives="forward")


# ---- the loss ---------------------------------------------------------------------------------------


def test_the_loss_of_one_weight_by_hand():
    """u = a x (1 - x), f = pi^2 sin(pi x): the energy is a^2 / 6 - 4 a / pi."""
    model = net(1, layers.Dense(1))
    problem = on_cube(1)
    at = problem.domain.quadrature(40)
    energy = wedges.Collocation(model, Ritz(problem.source), at, boundary=problem.domain)
    squares = wedges.Collocation(model, Galerkin(problem.source), at, boundary=problem.domain)
    for a in (0.0, 1.0, 4.0, -2.5):
        np.testing.assert_allclose(energy([0.0, a]), a**2 / 6 - 4 * a / np.pi, rtol=1e-12, atol=1e-12)
        # The mean of (2 a - pi^2 sin)^2 is 4 a^2 - 8 pi a + pi^4 / 2.
        wanted = 4 * a**2 - 8 * np.pi * a + np.pi**4 / 2
        np.testing.assert_allclose(squares([0.0, a]), wanted, rtol=1e-12)
    np.testing.assert_allclose(energy.hessian_product([0.0, 1.0], [0.0, 1.0])[1], 1 / 3, rtol=1e-9)


@pytest.mark.parametrize("problem", [on_cube(1), on_cube(2), on_ball(3)], ids=named)
@pytest.mark.parametrize("seed", range(2))
def test_the_energy_is_above_the_least_by_half_the_squared_gradient_of_the_error(problem, seed):
    keras.utils.set_random_seed(seed)
    d = problem.domain.dimension
    model = net(d, layers.Dense(4, "tanh"), layers.Dense(1))
    landscape = wedges.Collocation(
        model,
        Ritz(problem.source),
        problem.domain.quadrature(24 if d < 3 else 14),
        boundary=problem.domain,
    )
    theta = points(landscape)[1]
    off = landscape.field(theta).gradient - differentiate(problem.solution, landscape.x).gradient
    half = 0.5 * np.sum(landscape.weights[:, None] * off**2)
    assert half > 1e-3
    np.testing.assert_allclose(landscape(theta) - problem.energy, half, rtol=1e-6)


def test_only_the_galerkin_loss_is_zero_at_the_solution_on_every_sample():
    """A model that is the solution: u = (1 - x^2) is that of f = 2."""
    model = net(1, layers.Dense(1))
    constant = lambda x: tf.fill([tf.shape(x)[0]], tf.constant(2.0, x.dtype))
    fresh = Fresh(Ball(1), 7, seed=0)
    squares, energy = (
        wedges.Collocation(model, kind(constant), fresh, boundary=Ball(1)) for kind in (Galerkin, Ritz)
    )
    theta, away = [0.0, 1.0], [0.0, 0.9]
    assert all(
        squares.sample(theta, step) < 1e-25 < 1e-3 < squares.sample(away, step) for step in range(4)
    )
    seen = {float(energy.sample(theta, step)) for step in range(4)}
    assert len(seen) == 4 and np.ptp(list(seen)) > 1e-2


def test_relative_error_is_that_of_the_integrals():
    model, problem = net(1, layers.Dense(1)), on_cube(1)
    landscape = wedges.Collocation(
        model, Ritz(problem.source), problem.domain.quadrature(30), boundary=problem.domain
    )
    # Of 4 x (1 - x): the mean square is 8/15, that of sin 1/2, the mean of their product 16/pi^3.
    exact = np.sqrt((8 / 15 - 32 / np.pi**3 + 1 / 2) / (1 / 2))
    np.testing.assert_allclose(landscape.relative_error([0.0, 4.0], problem.solution), exact, rtol=1e-9)


def test_a_penalty_pays_for_the_boundary_and_a_function_is_a_factor():
    model, source = net(1, layers.Dense(1)), on_cube(1).source
    at = Cube(1).quadrature(30)
    plain = wedges.Collocation(model, Ritz(source), at)
    paid = wedges.Collocation(
        model, Ritz(source), at, boundary=Penalty([[0.0], [1.0]], 3.0, lambda x: 1 + x[:, 0])
    )
    theta = [2.0, 0.5]  # u = 0.5 + 2 x: off by -0.5 at 0 and by 0.5 at 1
    np.testing.assert_allclose(paid(theta) - plain(theta), 3 * (0.25 + 0.25) / 2, rtol=1e-9)
    np.testing.assert_allclose(paid([theta, theta]), [paid(theta)] * 2)
    by_hand = wedges.Collocation(model, Galerkin(source), at, boundary=lambda x: x[:, 0] * (1 - x[:, 0]))
    domain = wedges.Collocation(model, Galerkin(source), at, boundary=Cube(1))
    np.testing.assert_allclose(by_hand(theta), domain(theta), rtol=1e-12)


def test_a_residual_of_ones_own_sees_points_and_field():
    model = net(2, layers.Dense(1))
    own = lambda x, u: u.value + 10 * u.gradient[..., 0] + x[:, 1]
    at = Quadrature(np.array([[0.5, 0.0], [1.0, 2.0]]), np.array([0.25, 0.75]))
    landscape = wedges.Collocation(model, own, at)
    # u = 2 x_1 + 3 x_2 + 1: values 2 and 9, slopes 2.
    np.testing.assert_allclose(landscape([2.0, 3.0, 1.0]), 0.25 * (2 + 20 + 0) + 0.75 * (9 + 20 + 2))


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 7), st.integers(0, 5))
def test_points_without_weights_all_count_alike(n, seed):
    own = lambda x, u: u.value
    model = net(1, layers.Dense(1))
    x = Cube(1).uniform(n, seed=seed)
    np.testing.assert_allclose(wedges.Collocation(model, own, x)([2.0, 1.0]), (2 * x + 1).mean())


# ---- functions of points ----------------------------------------------------------------------------


def test_functions_of_points_may_be_numpy_s_where_nothing_is_differentiated():
    """Also for points that only a graph will know, those of a descent's steps."""
    model, problem = net(1), on_cube(1)
    by_numpy = lambda x: np.pi**2 * np.sin(np.pi * np.asarray(x)[:, 0])
    losses = []
    for source in (problem.source, by_numpy, lambda x: np.pi**2 * np.sin(np.pi * x[:, 0])):
        fresh = Fresh(Cube(1), 6, seed=0, measured=Cube(1).quadrature(5))
        landscape = wedges.Collocation(model, Galerkin(source), fresh, boundary=Cube(1))
        theta = points(landscape)[1]
        found = wedges.minimize(landscape, theta, keras.optimizers.SGD(1e-4), 3)
        losses.append([*found[1], landscape(theta), landscape.sample(theta, 7)])
        error = landscape.relative_error(theta, lambda x: np.sin(np.pi * np.asarray(x)[:, 0]))
        assert error == pytest.approx(landscape.relative_error(theta, problem.solution))
    np.testing.assert_allclose(losses[1:], [losses[0]] * 2, rtol=1e-9)


def test_one_number_as_a_source_is_that_at_all_points():
    model, at = net(1), Cube(1).quadrature(4)
    constant = lambda x: tf.fill([tf.shape(x)[0]], tf.constant(2.0, x.dtype))
    made = [wedges.Collocation(model, Galerkin(f), at) for f in (constant, lambda x: 2.0)]
    theta = points(made[0])[0]
    assert made[0](theta) == made[1](theta)


COLUMN = r"must give a number for each point, \[N\] of x \[N, 1\]; received shape \(\d, 1\)"
LINE = Cube(1).quadrature(4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: wedges.Collocation(m, Galerkin(lambda x: 2 * x), LINE), "source " + COLUMN),
        (lambda m: wedges.Collocation(m, Ritz(lambda x: 2 * x), LINE), "source " + COLUMN),
        (
            lambda m: wedges.Collocation(m, F1, LINE, boundary=lambda x: x * (1 - x)),
            "boundary " + COLUMN,
        ),
        (
            lambda m: wedges.Collocation(
                m, F1, LINE, boundary=Penalty([[0.0], [1.0]], 1.0, lambda x: x)
            ),
            "values of boundary " + COLUMN,
        ),
        (
            lambda m: wedges.Collocation(m, F1, LINE).relative_error(np.ones(13), lambda x: x),
            "solution " + COLUMN,
        ),
        (
            lambda m: wedges.Collocation(m, F1, LINE).relative_error(np.ones(13), lambda x: 0 * x[:, 0]),
            "solution must not be 0 at all points",
        ),
        (
            lambda m: wedges.Collocation(m, F1, LINE, boundary=lambda x: np.prod(x * (1 - x), axis=1)),
            "boundary must be made of operations of TensorFlow or Keras, .*; received .*ndarray",
        ),
        (lambda m: differentiate(lambda x: x, np.ones((2, 1))), "function " + COLUMN),
        (
            lambda m: differentiate(lambda x: np.sin(x)[:, 0], np.ones((2, 1))),
            "function must be made of",
        ),
    ],
)
def test_functions_that_cannot_be_right_are_one_line(call, words):
    """A column [N, 1] would make all pairs of points; NumPy's numbers have no derivatives."""
    with pytest.raises(ValueError, match=f"^{words}") as error:
        call(net(1))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("domain", [Cube(3), Ball(2), Ball(3)], ids=str)
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_points_on_the_boundary_are_inside_however_they_were_rounded(domain, kind):
    edge = domain.boundary(200, seed=0).astype(kind)
    f = lambda x: x[:, 0]
    wedges.Collocation(net(domain.dimension), Galerkin(f), edge, boundary=domain)
    assert domain.contains(edge).all()
    above = edge.copy() if isinstance(domain, Ball) else np.ones((3, 3))
    with pytest.raises(ValueError, match="^points must lie in"):
        wedges.Collocation(net(domain.dimension), Galerkin(f), 1.001 * above, boundary=domain)


def test_rounded_sums_and_whole_numbers_are_points_of_a_domain():
    assert Cube(1).contains([[1 + 2.0**-52], [-(2.0**-53)]]).all()
    for domain in (Cube(2), Ball(2)):
        assert domain.contains([[0, 1], [2, 0]]).tolist() == [True, False]


# ---- a landscape as any other -----------------------------------------------------------------------


def test_descents_curvature_interpolation_and_probes_take_it_as_it_is():
    problem = on_cube(1)
    model = residual_net(1, blocks=1)
    at = problem.domain.quadrature(20)
    how = {"boundary": problem.domain}
    landscape = wedges.Collocation(model, Ritz(problem.source), at, **how)
    start = landscape.space.read().numpy()
    theta, losses, _ = wedges.minimize(landscape, start, keras.optimizers.Adam(0.02), 150)
    assert losses[-1] < losses[0] and abs(losses[-1] - problem.energy) < 0.05
    A = wedges.hessian(landscape, theta)
    pair = wedges.eigenpairs(A, 1, seed=0)
    np.testing.assert_allclose(
        A @ pair.vectors[0], pair.values[0] * pair.vectors[0], atol=0.1 * pair.values[0]
    )
    line = wedges.interpolation.interpolation(landscape, start, theta, points=5)
    np.testing.assert_allclose(line.losses[[0, -1]], [landscape(start), landscape(theta)])
    plane = wedges.filter_plane(landscape, theta, [0.0], [0.0], seed=0)
    np.testing.assert_allclose(plane.losses, landscape(theta), rtol=1e-9)
    found = wedges.roughness_index(landscape, theta, 10, 1e-3, 10, seed=0)
    assert found.multimodal == 0 and abs(found.index - found.predicted) < 0.02
    landscape.write(theta)
    np.testing.assert_allclose(
        model(landscape.x)[:, 0] * problem.domain.factor(landscape.x).value,
        landscape.field(theta).value,
        rtol=1e-9,
    )


def test_fresh_points_of_a_step_are_the_same_for_several_starts_and_the_loss_is_one_function():
    problem, model = on_ball(3), residual_net(3)
    fresh = Fresh(problem.domain, 11, seed=2, measured=problem.domain.quadrature(3))
    landscape = wedges.Collocation(model, Galerkin(problem.source), fresh, boundary=problem.domain)
    theta = points(landscape)
    np.testing.assert_allclose(landscape.sample(theta, 4), [landscape.sample(t, 4) for t in theta])
    assert landscape.sample(theta[0], 4) != landscape.sample(theta[0], 5)
    x = problem.domain.draw(11, 2, 4, tf.float64)
    own = wedges.Collocation(model, Galerkin(problem.source), x, boundary=problem.domain)
    np.testing.assert_allclose(landscape.sample(theta[0], 4), own(theta[0]), rtol=1e-12)
    np.testing.assert_array_equal(landscape(theta), landscape(theta))
    assert len(Fresh(problem.domain, 5, seed=0).measured) == 10_000


def test_many_thetas_are_computed_some_at_a_time(monkeypatch):
    from wedges.collocation import landscape as module

    monkeypatch.setattr(module, "_NUMBERS", 200)  # 2 thetas of 20 points, 5 wide
    model = residual_net(1)
    landscape = wedges.Collocation(
        model, Ritz(on_cube(1).source), Cube(1).quadrature(20), boundary=Cube(1)
    )
    theta = points(landscape, 7)
    np.testing.assert_allclose(landscape(theta), [landscape(t) for t in theta], rtol=1e-12)
    assert landscape(theta.reshape(7, 1, -1)).shape == (7, 1)


def test_it_pickles(tmp_path):
    import pickle

    problem = on_ball(3)
    fresh = Fresh(problem.domain, 11, seed=2, measured=problem.domain.quadrature(3))
    first = wedges.Collocation(residual_net(3), Galerkin(problem.source), fresh, boundary=problem.domain)
    again = pickle.loads(pickle.dumps(first))
    theta = points(first)
    np.testing.assert_array_equal(again(theta), first(theta))
    np.testing.assert_array_equal(again.sample(theta[0], 3), first.sample(theta[0], 3))


def test_it_shows_in_a_line():
    landscape = wedges.Collocation(net(1), Ritz(on_cube(1).source), Cube(1).quadrature(4))
    assert "D = 13, Ritz at 4 points of R^1, float64, reverse at one theta, forward at " in repr(
        landscape
    )
    landscape = wedges.Collocation(net(1), Galerkin(on_cube(1).source), Cube(1).quadrature(4))
    assert "D = 13, Galerkin at 4 points of R^1, float64, forward)" in repr(landscape)


def test_a_field_names_what_it_holds():
    assert Field._fields == ("value", "gradient", "laplacian")


# ---- what is refused --------------------------------------------------------------------------------


def two_outputs(d):
    x = keras.Input((d,))
    return keras.Model(x, [layers.Dense(1)(x), layers.Dense(1)(x)])


def two_inputs(d):
    a, b = keras.Input((d,)), keras.Input((d,))
    return keras.Model([a, b], layers.Dense(1)(layers.Add()([a, b])))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: (net(3), F, AT),
            "model must take points of 2 dimensions, .*; received 'seq.*takes .None, 3",
        ),
        (
            lambda: (net(2, layers.Dense(3)), F, AT),
            r"model must have one output, \[N, 1\].* shape \(2, 3\)",
        ),
        (
            lambda: (two_outputs(2), F, AT),
            "model must have one input and one output; .* which has 1 and 2",
        ),
        (
            lambda: (two_inputs(2), F, AT),
            "model must have one input and one output; .* which has 2 and 1",
        ),
        (
            lambda: (net(2), F, AT + 1),
            r"points must lie in Cube\(dimension=2\); received 4 of 4 outside",
        ),
        (
            lambda: (net(2), F, AT[:, 0]),
            r"points must be points \[N, d\], at least one; received shape \(4,",
        ),
        (lambda: (net(2), F, np.nan * AT), "points must be finite; received NaN or infinity"),
        (lambda: (net(2), F, Quadrature(AT, [1.0])), r"points must have a weight for each of 4 points"),
        (lambda: (net(2), "ritz", AT), "residual must be a function of points and u, e.g. "),
        (
            lambda: (net(2), lambda x, u: u.gradient, AT),
            r"residual must give a number for each point, \[3\]",
        ),
        (lambda: (AT, F, AT), "model must be a keras.Model"),
    ],
)
def test_what_makes_no_landscape_is_one_line(make, words):
    with pytest.raises(ValueError, match=f"^{words}") as error:
        wedges.Collocation(*make(), boundary=Cube(2))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: wedges.Collocation(net(2), F, AT, boundary=3),
            "boundary must be a domain, a Penalty, a fun",
        ),
        (
            lambda: wedges.Collocation(net(2), F, AT, boundary=Ball(3)),
            "points must have the 3 dimensions of",
        ),
        (
            lambda: wedges.Collocation(net(2), F, AT, boundary=Penalty([[0.0]], 1.0)),
            r"boundary must have points of 2 dimensions; received \(1, 1\)",
        ),
        (
            lambda: wedges.Collocation(net(2), F, AT, derivatives="taylor"),
            "derivatives must be 'forward' or",
        ),
        (
            lambda: wedges.Collocation(net(2), F, AT).field(np.zeros((2, 17))),
            r"theta must be one point \[D\]",
        ),
        (
            lambda: wedges.Collocation(net(2), F, AT).field(np.zeros(17), [[1.0]]),
            r"x must be points \[N, 2\]",
        ),
        (lambda: Fresh(AT, 3, seed=0), "domain must be one of wedges.collocation, e.g. Ball"),
        (lambda: Fresh(Cube(2), 0, seed=0), "n must be a whole number, at least 1; received 0"),
        (lambda: Penalty(AT, 0.0), "weight must be a finite number above 0; received 0.0"),
        (lambda: Ritz(3.0), r"source must be a function of points x \[N, d\]; received 3.0"),
        (lambda: Cube(0), "dimension must be a whole number, at least 1; received 0"),
        (
            lambda: Ball(4).quadrature(3),
            "dimension must be at most 3 for a ball's quadrature; received 4",
        ),
        (
            lambda: Ball(2).quadrature(20_000),
            "n must leave at most 4,194,304 points in all; received 800,000,000 in Ball",
        ),
        (
            lambda: Cube(10).quadrature(20),
            "n must leave at most 4,194,304 points in all; received 10,240,",
        ),
    ],
)
def test_bad_arguments_are_one_line(call, words):
    with pytest.raises(ValueError, match=f"^{words}") as error:
        call()
    assert "\n" not in str(error.value)
