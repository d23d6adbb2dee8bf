"""`elbo_ref.pathwise`: reference values, closed forms, identities, a slow twin, and its edges."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special as sc

from elbo_ref.pathwise import logit_derivatives, pathwise_gradient

ROWS = json.loads((Path(__file__).parent / "reference" / "pathwise.json").read_text("utf-8"))
PAIRS = [(a, b) for a in (0.3, 1.0, 2.5, 40.0) for b in (0.5, 1.0, 7.0)]
LOGITS = np.concatenate([-np.geomspace(700, 1e-3, 40), [0.0], np.geomspace(1e-3, 700, 40)])


def log_uniform(low, high):
    return st.floats(low, high).map(lambda exponent: 10.0**exponent)


def complaints(rows, gradient):
    """A line for each derivative in `rows` that `gradient` misses by more than the row allows."""
    found = []
    for row in rows:
        got = gradient(row["logit"], row["a"], row["b"])
        for name, value in zip(("da", "db"), got, strict=True):
            wanted = float(row[name])
            error = abs(value / wanted - 1)
            if not error <= row["rtol"]:
                found.append(f"{row}: {name} got {value!r} wanted {wanted!r} error {error:.1e}")
    return found


def assert_close(got, wanted, rtol, **inputs):
    error = np.max(np.abs(np.asarray(got) / wanted - 1))
    assert error <= rtol, f"{inputs}: got {got}, wanted {wanted}, error {error:.1e}"


def log_density_slope(y, a, b):
    """d/dy of the log density of the logit."""
    return a - (a + b) * sc.expit(y)


# Reference values


def test_reference():
    """(E6) against mpmath."""
    bad = complaints(ROWS, pathwise_gradient)
    assert not bad, "\n".join(bad)


def test_reference_in_one_call():
    y, a, b = (np.array([row[key] for row in ROWS]) for key in ("logit", "a", "b"))
    da, db = pathwise_gradient(y, a, b)
    for i, row in enumerate(ROWS):
        alone = pathwise_gradient(row["logit"], row["a"], row["b"])
        assert (da[i], db[i]) == pytest.approx(alone, rel=1e-15), row


@pytest.mark.parametrize("factors", [(1 + 1e-8, 1), (1, 1 - 1e-8)])
def test_a_planted_error_is_caught(factors):
    """Negative control of the comparison itself."""

    def planted(*args):
        return [x * factor for x, factor in zip(pathwise_gradient(*args), factors, strict=True)]

    strict = [row for row in ROWS if row["rtol"] <= 1e-11]
    assert len(strict) > 200
    assert len(complaints(strict, planted)) == len(strict)


def test_swapped_concentrations_are_caught():
    """Negative control: no row with a != b forgives it."""

    def swapped(y, a, b):
        return pathwise_gradient(y, b, a)

    lopsided = [row for row in ROWS if row["a"] != row["b"]]
    caught = {line.split(": da")[0].split(": db")[0] for line in complaints(lopsided, swapped)}
    assert len(caught) == len(lopsided)


# Closed forms


@pytest.mark.parametrize("a", [1e-3, 0.2, 1.0, 3.0, 80.0, 1e4])
def test_power_distribution(a):
    """b = 1: c = u^(1/a), dlogit/da = -log c / (a (1 - c)); a = 1 is its reflection."""
    log_c, rest = sc.log_expit(LOGITS), sc.expit(-LOGITS)
    wanted = -log_c / (a * rest)
    assert_close(pathwise_gradient(LOGITS, a, 1.0).concentration1, wanted, 1e-12, a=a)
    assert_close(pathwise_gradient(-LOGITS, 1.0, a).concentration0, -wanted, 1e-12, b=a)


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_far_lower_tail(a, b):
    """c -> 0: F = c^a / (a B(a, b)), so the derivatives are linear in the logit and constant."""
    y = -1e6
    da, db = pathwise_gradient(y, a, b)
    assert_close(da, (sc.psi(a + 1) - sc.psi(a + b) - y) / a, 1e-13, a=a, b=b)
    assert_close(db, (sc.psi(b) - sc.psi(a + b)) / a, 1e-13, a=a, b=b)


def test_large_concentrations_move_the_mean():
    """The draw becomes log(a/b): derivatives 1/a and -1/b, to 1/sqrt(a)."""
    a, b = 3e14, 5e13
    da, db = pathwise_gradient(math.log(a / b), a, b)
    assert_close((da, db), (1 / a, -1 / b), 1e-6, a=a, b=b)


# Identities


@given(st.floats(-60, 60), log_uniform(-3, 4), log_uniform(-3, 4))
@settings(max_examples=200, deadline=None)
def test_reflection(y, a, b):
    """dlogit/db (y; a, b) = -dlogit/da (-y; b, a)."""
    one, other = pathwise_gradient(y, a, b), pathwise_gradient(-y, b, a)
    assert_close(one.concentration0, -other.concentration1, 1e-12, y=y, a=a, b=b)
    assert_close(one.concentration1, -other.concentration0, 1e-12, y=y, a=a, b=b)


@given(st.floats(-8, 8), log_uniform(-2, 2.5), log_uniform(-2, 2.5))
@settings(max_examples=100, deadline=None)
def test_continuity_equation(z, a, b):
    """d_a log f + v d_y log f + d_y v = 0, with d_y v by differences of sixth order."""
    scale = 1 / math.sqrt(sc.zeta(2, a) ** -1 + sc.zeta(2, b) ** -1 + 1)
    y, step = math.log(a / b) + z * scale, 0.02 * scale
    points = y + step * np.array([-3, -2, -1, 0, 1, 2, 3])
    stencil = np.array([-1, 9, -45, 0, 45, -9, 1]) / (60 * step)
    mean = (sc.psi(a) - sc.psi(a + b), sc.psi(b) - sc.psi(a + b))
    scores = (sc.log_expit(y) - mean[0], sc.log_expit(-y) - mean[1])
    for score, v in zip(scores, pathwise_gradient(points, a, b), strict=True):
        terms = (score, v[3] * log_density_slope(y, a, b), stencil @ v)
        rounding = 1e-12 * np.max(np.abs(v)) / step
        size = max(map(abs, terms))
        assert abs(sum(terms)) <= 1e-8 * size + rounding, (y, a, b, terms)


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_the_mean_moves_as_it_should(a, b):
    """E[dc/da] = d/da a/(a + b) = b/(a + b)^2 and E[dc/db] = -a/(a + b)^2."""
    y = np.linspace(-45 / min(a, 1), 45 / min(b, 1), 12001)
    log_f = a * sc.log_expit(y) + b * sc.log_expit(-y) - sc.betaln(a, b)
    weight = np.exp(log_f) * sc.expit(y) * sc.expit(-y) * (y[1] - y[0])
    da, db = pathwise_gradient(y, a, b)
    assert_close(weight @ da, b / (a + b) ** 2, 1e-11, a=a, b=b)
    assert_close(weight @ db, -a / (a + b) ** 2, 1e-11, a=a, b=b)


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_slow_twin(a, b):
    """-(dF/da)/f by differences of SciPy's regularized incomplete beta function."""
    y = sc.logit(sc.betaincinv(a, b, np.array([0.02, 0.3, 0.5, 0.7, 0.98])))
    c, step = sc.expit(y), 1e-5
    f = np.exp(a * sc.log_expit(y) + b * sc.log_expit(-y) - sc.betaln(a, b))
    wanted_a = -(sc.betainc(a + step, b, c) - sc.betainc(a - step, b, c)) / (2 * step * f)
    wanted_b = -(sc.betainc(a, b + step, c) - sc.betainc(a, b - step, c)) / (2 * step * f)
    da, db = pathwise_gradient(y, a, b)
    assert_close(da, wanted_a, 1e-6, a=a, b=b)
    assert_close(db, wanted_b, 1e-6, a=a, b=b)


# The whole domain, and the seams in it


@given(
    st.one_of(st.floats(-1e9, 1e9), st.floats(-50, 50)),
    log_uniform(-12, 15),
    log_uniform(-12, 15),
    st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_finite_and_signed_everywhere(y, a, b, from_mode):
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        da, db = pathwise_gradient(y + math.log(a / b) * from_mode, a, b)
    assert math.isfinite(da) and da > 0, (y, a, b, da)
    assert math.isfinite(db) and db < 0, (y, a, b, db)


def test_what_cannot_be_represented_overflows_quietly():
    da, db = pathwise_gradient(-1e308, 1e-12, 1.0)
    assert da == math.inf and math.isfinite(db)


@pytest.mark.parametrize("a", [1e-3, 0.5, 9.0, 1e4])
@pytest.mark.parametrize("b", [1e-3, 1.0, 30.0, 1e4])
def test_both_tails_agree_at_the_mode(a, b):
    """Just below the mode the lower tail is integrated, just above it the upper tail."""
    mode = math.log(a) - math.log(b)
    sides = mode + 4 * np.spacing(max(abs(mode), 1e-3)) * np.array([-1, 1])
    for name, (below, above) in pathwise_gradient(sides, a, b)._asdict().items():
        assert_close(below, above, 1e-12, name=name, a=a, b=b)


@pytest.mark.parametrize(
    ("y", "a", "b"),
    [
        (0.0, 2.0, 0.7),  # the side of logit 0 decides which logarithm is formed
        (0.0, 50.0, 20.0),
        (-2.0, 3.0, 4.0),  # b = a + 1 decides how digamma values are subtracted
        (-5.0, 99.0, 1000.0),  # so does a + 1 = 100
        (5.0, 1000.0, 99.0),
    ],
)
def test_other_seams(y, a, b):
    tiny = 1e-13
    left = pathwise_gradient(y - tiny, a * (1 - tiny), b)
    right = pathwise_gradient(y + tiny, a * (1 + tiny), b)
    assert_close(left, right, 2e-12, y=y, a=a, b=b)


def test_blocks_do_not_show():
    rng = np.random.default_rng(7)
    y, a, b = rng.normal(size=2500), rng.gamma(2, size=2500), rng.gamma(2, size=2500)
    whole = logit_derivatives(y, a, b)
    for part in (slice(1000, 1050), slice(2040, 2060), slice(2499, 2500)):
        alone = logit_derivatives(y[part], a[part], b[part])
        np.testing.assert_array_equal(alone, [derivative[part] for derivative in whole])
    shared = logit_derivatives(y, np.array(2.0), np.array(3.0))
    spread = logit_derivatives(y, np.full(2500, 2.0), np.full(2500, 3.0))
    np.testing.assert_array_equal(shared, spread)


# The door


def test_shapes():
    gradient = pathwise_gradient(0.5, 2, np.float64(3))
    assert type(gradient.concentration1) is float and type(gradient.concentration0) is float
    gradient = pathwise_gradient(np.zeros((4, 1)), [1.0, 2.0, 3.0], 2.0)
    assert gradient.concentration1.shape == gradient.concentration0.shape == (4, 3)
    assert pathwise_gradient([0.5], 2.0, 3.0).concentration1.shape == (1,)
    assert pathwise_gradient([], 2.0, 3.0).concentration1.shape == (0,)
    assert pathwise_gradient(0.5, [2.0], [[3.0]]).concentration0.shape == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, [1, 2, 3, -1.0], 1.0), "concentration1[3] = -1.0 is not positive and finite"),
        ((0.0, 0.0, 1.0), "concentration1 = 0.0 is not positive and finite"),
        ((0.0, 1.0, [[1.0, math.inf]]), "concentration0[0, 1] = inf is not positive and finite"),
        ((0.0, 1.0, math.nan), "concentration0 = nan is not positive and finite"),
        (([0.0, math.nan], 1.0, 1.0), "logit[1] = nan is not finite"),
        ((-math.inf, 1.0, 1.0), "logit = -inf is not finite"),
    ],
)
def test_bad_values(arguments, message):
    with pytest.raises(ValueError) as error:
        pathwise_gradient(*arguments)
    assert str(error.value) == message


def test_bad_types_and_shapes():
    with pytest.raises(TypeError, match="logit"):
        pathwise_gradient("half", 1.0, 1.0)
    with pytest.raises(ValueError, match="broadcast"):
        pathwise_gradient([0.0, 1.0], [1.0, 2.0, 3.0], 1.0)
