"""`distributions.pathwise`: reference values, closed forms, identities, slow twins, edges."""

import importlib.util
import json
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, example, given, settings, strategies as st
from scipy import special as sc

import elbo_ref as er
from elbo_ref.distributions.pathwise import (
    field,
    fraction,
    logit_derivatives,
    mode,
    series,
    tail,
)
from elbo_ref.distributions.pathwise.table import Table, extent
from places import REFERENCE
from tiers import few

ROWS = json.loads((REFERENCE / "pathwise.json").read_text("utf-8"))
_SPEC = importlib.util.spec_from_file_location("make_pathwise", REFERENCE / "make_pathwise.py")
make_pathwise = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(make_pathwise)

PAIRS = [(a, b) for a in (0.3, 1.0, 2.5, 40.0) for b in (0.5, 1.0, 7.0)]
LOGITS = np.concatenate([-np.geomspace(700, 1e-3, 40), [0.0], np.geomspace(1e-3, 700, 40)])
LARGEST = 2e-14
FEW = 6e-14
"""The largest errors that docs/pathwise.md promises, in general and for few draws of one pair."""


def columns(rows):
    return (np.array([float(row[key]) for row in rows]) for key in ("logit", "a", "b", "da", "db"))


COPIES = 4
"""So that the reference rows are not few draws, which have fewer ways."""


def errors(rows):
    """The larger relative error of the two derivatives for each row, computed in one call."""
    y, a, b, *wanted = (np.tile(column, COPIES) for column in columns(rows))
    error = np.max(np.abs(np.array(er.pathwise_gradient(y, a, b)) / wanted - 1), axis=0)
    return error.reshape(COPIES, -1).max(axis=0)


def complaints(rows):
    """A line for each row that is missed by more than the row allows."""
    return [
        f"{row}: error {error:.1e}"
        for row, error in zip(rows, errors(rows), strict=True)
        if not error <= row["rtol"]
    ]


def in_domain(row):
    return all(1e-6 <= row[key] <= 1e8 for key in ("a", "b"))


def log_uniform(low, high):
    return st.floats(low, high).map(lambda exponent: 10.0**exponent)


def assert_close(got, wanted, rtol, **inputs):
    error = np.max(np.abs(np.asarray(got) / wanted - 1))
    assert error <= rtol, f"{inputs}: got {got}, wanted {wanted}, error {error:.1e}"


def by_integral(y, a, b):
    """Slow twin: the derivative of the density, integrated over the tail beyond y."""
    return tuple(map(float, make_pathwise.by_integrals(y, a, b)))


# Reference values


def test_reference():
    """(E6) against ball arithmetic and mpmath, which agree to 22 digits (make_pathwise.py)."""
    bad = complaints(ROWS)
    assert not bad, "\n".join(bad)


def test_reference_is_met_to_the_last_digits():
    inside = errors([row for row in ROWS if in_domain(row)])
    outside = errors([row for row in ROWS if not in_domain(row)])
    assert inside.size > 900 and outside.size > 60
    assert max(inside.max(), outside.max()) <= LARGEST
    assert np.median(inside) <= 3e-16 and np.quantile(inside, 0.99) <= 6e-15


def test_one_by_one_is_as_good_as_all_at_once():
    y, a, b, *_ = columns(ROWS)
    together = np.array(er.pathwise_gradient(y, a, b)).T
    for i in range(0, len(ROWS), 3):
        alone = er.pathwise_gradient(y[i], a[i], b[i])
        assert together[i] == pytest.approx(tuple(alone), rel=FEW, abs=0.0), ROWS[i]


def test_every_draw_is_reached_and_company_does_not_matter():
    """Each row in a call of its own kind: several rows that one way serves, among them the row."""
    y, a, b, *wanted = columns(ROWS)
    wanted = np.array(wanted)
    for i in range(0, len(ROWS), 7):
        others = y[i] + np.array([0.0, 1e-3, 0.5, 3.0, -1e-3, -0.5, -3.0])
        got = np.array(er.pathwise_gradient(others, a[i], b[i]))[:, 0]
        assert got == pytest.approx(wanted[:, i], rel=FEW, abs=0.0), ROWS[i]


@pytest.mark.parametrize("way", [fraction, series, mode, tail])
@pytest.mark.parametrize("factors", [(1 + 1e-9, 1), (1, 1 - 1e-9)])
def test_a_planted_error_is_caught(way, factors, monkeypatch):
    """Negative control: 1e-9 in one derivative of one of the four ways."""
    honest, served = way.derivatives, []

    def planted(draws, *count):
        served.append(draws.y.size)
        return tuple(factor * x for factor, x in zip(factors, honest(draws, *count), strict=True))

    monkeypatch.setattr(way, "derivatives", planted)
    found = complaints(ROWS)
    assert len(found) * COPIES == sum(served) >= 60


def test_swapped_concentrations_are_caught(monkeypatch):
    """Negative control: no row with a != b forgives it."""
    honest = er.pathwise_gradient
    monkeypatch.setattr(er, "pathwise_gradient", lambda y, a, b: honest(y, b, a))
    lopsided = [row for row in ROWS if row["a"] != row["b"]]
    assert len(complaints(lopsided)) == len(lopsided)


@pytest.mark.thorough
@given(log_uniform(-6, 8), log_uniform(-6, 8), st.floats(-7, 7), st.booleans())
@settings(max_examples=60)
def test_slow_twin(a, b, z, in_scale):
    """Anywhere in the domain, within seven scales of the mode or seven units of logit 0."""
    y = math.log(a / b) + z * math.sqrt(1 / a + 1 / b) if in_scale else z
    s, c = a + b, sc.expit(-abs(y))
    assume(s * c < 1e4 or in_scale)
    assert_close(er.pathwise_gradient(y, a, b), by_integral(y, a, b), LARGEST, y=y, a=a, b=b)


# Closed forms


@pytest.mark.parametrize("a", [1e-6, 1e-3, 0.2, 1.0, 3.0, 80.0, 1e4, 1e8])
def test_power_distribution(a):
    """b = 1: c = u^(1/a), dlogit/da = -log c / (a (1 - c)); a = 1 is its reflection."""
    log_c, rest = sc.log_expit(LOGITS), sc.expit(-LOGITS)
    wanted = -log_c / (a * rest)
    assert_close(er.pathwise_gradient(LOGITS, a, 1.0).concentration1, wanted, 1e-14, a=a)
    assert_close(er.pathwise_gradient(-LOGITS, 1.0, a).concentration0, -wanted, 1e-14, b=a)


@pytest.mark.parametrize(("a", "b"), [*PAIRS, (1e-6, 1e8), (1e-6, 1e-6), (1e8, 1e-6)])
def test_far_lower_tail(a, b):
    """c -> 0: F = c^a / (a B(a, b)), so the derivatives are linear in the logit and constant."""
    for y in (-1e6, -1e9, -1e300):
        da, db = er.pathwise_gradient(y, a, b)
        assert_close(da, (sc.psi(a + 1) - sc.psi(a + b) - y) / a, 1e-14, y=y, a=a, b=b)
        if b / a < 1e6:
            assert_close(db, (sc.psi(b) - sc.psi(a + b)) / a, 1e-13, y=y, a=a, b=b)


@pytest.mark.parametrize(("a", "b"), [(3e14, 5e13), (1e30, 1e31), (1e100, 1e100)])
def test_large_concentrations_move_the_mean(a, b):
    """The draw becomes log(a/b): derivatives 1/a and -1/b, to 1/sqrt(a)."""
    da, db = er.pathwise_gradient(math.log(a / b), a, b)
    assert_close((da, db), (1 / a, -1 / b), 1 / math.sqrt(min(a, b)) + 1e-15, a=a, b=b)


@pytest.mark.parametrize("seed", few([1, 0, 2]))
def test_one_concentration_far_beyond_the_other(seed):
    """Ratios from 1e16 on, where s - b keeps nothing of a: against integrals in 120 digits."""
    rng = np.random.default_rng(seed)
    small = 10 ** rng.uniform((-3, 2, 8)[seed], (2, 8, 20)[seed], 4)
    large = small * 10 ** rng.uniform(16, 40, 4)
    y = np.log(small) - np.log(large) + np.array([-0.5, -0.07, 0.07, 0.5])
    with make_pathwise.mp.workdps(120):
        wanted = np.array([by_integral(*row) for row in zip(y, small, large, strict=True)]).T
    for got in (
        er.pathwise_gradient(y, small, large),
        -np.array(er.pathwise_gradient(-y, large, small))[::-1],
    ):
        assert_close(np.array(got), wanted, 1e-12, y=y, small=small, large=large)


# Identities


@given(st.floats(-60, 60), log_uniform(-6, 8), log_uniform(-6, 8))
@settings(max_examples=200)
def test_reflection(y, a, b):
    """dlogit/db (y; a, b) = -dlogit/da (-y; b, a)."""
    one, other = er.pathwise_gradient(y, a, b), er.pathwise_gradient(-y, b, a)
    assert_close(one.concentration0, -other.concentration1, LARGEST, y=y, a=a, b=b)
    assert_close(one.concentration1, -other.concentration0, LARGEST, y=y, a=a, b=b)


@given(st.floats(-8, 8), log_uniform(-2, 2.5), log_uniform(-2, 2.5))
@settings(max_examples=100)
def test_continuity_equation(z, a, b):
    """d_a log f + v d_y log f + d_y v = 0, with d_y v by differences of sixth order."""
    scale = 1 / math.sqrt(sc.zeta(2, a) ** -1 + sc.zeta(2, b) ** -1 + 1)
    y, step = math.log(a / b) + z * scale, 0.02 * scale
    points = y + step * np.array([-3, -2, -1, 0, 1, 2, 3])
    stencil = np.array([-1, 9, -45, 0, 45, -9, 1]) / (60 * step)
    mean = (sc.psi(a) - sc.psi(a + b), sc.psi(b) - sc.psi(a + b))
    scores = (sc.log_expit(y) - mean[0], sc.log_expit(-y) - mean[1])
    slope = a - (a + b) * sc.expit(y)
    for score, v in zip(scores, er.pathwise_gradient(points, a, b), strict=True):
        terms = (score, v[3] * slope, stencil @ v)
        rounding = 1e-13 * np.max(np.abs(v)) / step
        size = max(map(abs, terms))
        assert abs(sum(terms)) <= 1e-8 * size + rounding, (y, a, b, terms)


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_the_mean_moves_as_it_should(a, b):
    """E[dc/da] = d/da a/(a + b) = b/(a + b)^2 and E[dc/db] = -a/(a + b)^2, by quadrature."""
    y = np.linspace(-45 / min(a, 1), 45 / min(b, 1), 12001)
    log_f = a * sc.log_expit(y) + b * sc.log_expit(-y) - sc.betaln(a, b)
    weight = np.exp(log_f) * (y[1] - y[0])
    slope = sc.expit(y) * sc.expit(-y)
    da, db = er.pathwise_gradient(y, a, b)
    assert_close(weight @ (slope * da), b / (a + b) ** 2, 1e-12, a=a, b=b)
    assert_close(weight @ (slope * db), -a / (a + b) ** 2, 1e-12, a=a, b=b)
    assert_close(weight @ da, sc.polygamma(1, a), 1e-12, a=a, b=b)


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_differences_of_the_distribution_function(a, b):
    """-(dF/da)/f by differences of SciPy's regularized incomplete beta function."""
    y = sc.logit(sc.betaincinv(a, b, np.array([0.02, 0.3, 0.5, 0.7, 0.98])))
    c, step = sc.expit(y), 1e-5
    f = np.exp(a * sc.log_expit(y) + b * sc.log_expit(-y) - sc.betaln(a, b))
    wanted_a = -(sc.betainc(a + step, b, c) - sc.betainc(a - step, b, c)) / (2 * step * f)
    wanted_b = -(sc.betainc(a, b + step, c) - sc.betainc(a, b - step, c)) / (2 * step * f)
    da, db = er.pathwise_gradient(y, a, b)
    assert_close(da, wanted_a, 1e-6, a=a, b=b)
    assert_close(db, wanted_b, 1e-6, a=a, b=b)


# Everywhere


@pytest.mark.thorough
@given(
    st.one_of(st.floats(-1e9, 1e9), st.floats(-50, 50), st.floats(allow_nan=False, width=64)),
    st.one_of(st.floats(1e-6, 1e8), log_uniform(-6, 8)),
    st.one_of(st.floats(1e-6, 1e8), log_uniform(-6, 8)),
    st.booleans(),
)
@example(0.0, 1e-6, 1e-6, False)
@example(0.0, 1e8, 1e8, False)
@example(-1e9, 1e-6, 1e8, False)
@settings(max_examples=500)
def test_finite_and_signed_in_the_whole_domain(y, a, b, from_mode):
    y = y + math.log(a / b) * from_mode
    assume(abs(y) < 1e300)
    with np.errstate(all="raise"):
        da, db = er.pathwise_gradient(y, a, b)
    assert math.isfinite(da) and da > 0, (y, a, b, da)
    assert math.isfinite(db) and db < 0, (y, a, b, db)


@pytest.mark.thorough
@given(
    st.one_of(st.floats(-1e9, 1e9), st.floats(-50, 50)),
    log_uniform(-100, 100),
    log_uniform(-100, 100),
    st.booleans(),
)
@example(0.5, 1e19, 1e19, False)
@settings(max_examples=400)
def test_finite_and_signed_wherever_a_run_may_wander(y, a, b, from_mode):
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        da, db = er.pathwise_gradient(y + math.log(a / b) * from_mode, a, b)
    assert math.isfinite(da) and da > 0, (y, a, b, da)
    assert math.isfinite(db) and db < 0, (y, a, b, db)


def test_what_cannot_be_represented_overflows_quietly():
    for draws in (-1e308, np.full(300, -1e308)):
        da, db = er.pathwise_gradient(draws, 1e-12, 1.0)
        assert np.all(da == math.inf) and np.all(np.isfinite(db))


@pytest.mark.parametrize("shared", [True, False])
def test_neighbours_agree(shared):
    """From one logit to the next nothing jumps: between the ways, and between a table's cells."""
    rng = np.random.default_rng(5)
    for _ in range(60):
        a, b = 10 ** rng.uniform(-6, 8, 2)
        y = np.linspace(-12, 12, 4001) * min(math.sqrt(1 / a + 1 / b), 3.0) + math.log(a / b)
        step = y[1] - y[0]
        for v in er.pathwise_gradient(y, a if shared else np.full(y.size, a), b):
            slope = np.gradient(v, y)
            jumps = np.abs(np.diff(v) - (slope[1:] + slope[:-1]) / 2 * step)
            allowed = 2 * LARGEST * np.abs(v).max() + np.abs(np.diff(slope)).max() * step
            assert jumps.max() <= allowed, (a, b, y[np.argmax(jumps)])


# Many draws


@pytest.mark.parametrize(
    ("a", "b"),
    [(2.0, 3.0), (0.1, 5e3), (1e-6, 1e8), (1e-3, 1e-3), (50.0, 80.0), (1e8, 1e8), (1e-6, 1e-6)],
)
def test_the_table_of_a_shared_pair(a, b):
    """Many draws, some of them far out, through a table; each as good as alone."""
    draws = er.Beta(a, b).sample_logit(20_000, rng=3)
    draws[:4] = -1e9, 1e9, -800.0, 800.0
    table = np.array(er.pathwise_gradient(draws, a, b))
    alone = np.array(er.pathwise_gradient(draws, np.full(draws.size, a), b))
    error = np.abs(table / alone - 1).max(axis=0)
    assert error.max() <= 1e-13 and np.median(error) <= 5e-15, (a, b, error.max())


@pytest.mark.parametrize(("a", "b"), [(2.0, 3.0), (0.1, 5e3), (1e-6, 1e8), (1e8, 1e8)])
def test_the_extent_of_a_table(a, b):
    """To 40 beyond log((a + 1)/s) and log(s/(b + 1)), or to the outermost draws; cells of 1/3."""
    low, high = math.log((a + 1) / (a + b)) - 40, math.log((a + b) / (b + 1)) + 40
    for first, last in ((-1e3, 1e3), (-1e3, 0.5), (-0.5, 1e3), (-0.5, 0.5)):
        begin, cells = extent(a, b, first, last)
        end = min(high, last)
        assert begin == pytest.approx(max(low, first), rel=1e-14)
        assert end < begin + cells / 3 <= max(end, begin) + 1 / 3 + 1e-9


def test_a_table_is_made_for_twenty_draws_a_cell(monkeypatch):
    """Fewer draws are taken one by one."""
    made = []
    covering = Table.covering
    monkeypatch.setattr(Table, "covering", lambda *x: made.append(x) or covering(*x))
    for size, tables in ((1180, 0), (1240, 1)):
        er.pathwise_gradient(np.linspace(-9.9, 9.9, size), 2.0, 3.0)  # 60 cells
        assert len(made) == tables


def test_the_table_is_checked_off_its_nodes(monkeypatch):
    """Negative control: a table with a planted 1e-9 notices, and is not used."""
    honest = Table.covering(2.0, 3.0, -6.0, 40)
    assert honest.error <= 1e-13
    planted = honest._replace(powers=honest.powers * (1 + 1e-9))
    assert planted.error == pytest.approx(1e-9, rel=1e-3)
    monkeypatch.setattr(Table, "covering", lambda *_: planted)
    draws = er.Beta(2, 3).sample_logit(5000, rng=1)
    used = er.pathwise_gradient(draws, 2.0, 3.0).concentration1
    alone = er.pathwise_gradient(draws[:1000], 2.0, 3.0).concentration1
    np.testing.assert_allclose(used[:1000], alone, rtol=4e-15)


def test_neighbours_with_the_same_pair_are_done_together():
    """Columns of draws, some with equal pairs, and columns long enough to be worth a table."""
    rng = np.random.default_rng(6)
    for columns_of in ([3000, 1, 2, 5000], [1] * 5):
        a, b = (np.repeat(rng.gamma(2, size=len(columns_of)), columns_of) for _ in range(2))
        y = rng.normal(size=(3 if a.size > 5 else 1000, a.size))
        for first, second in ((a, b), (a[None], b), (a, 2.0), (0.7, b), (a, b[:1, None])):
            got = np.array(er.pathwise_gradient(y, first, second))
            each = (np.broadcast_to(x, y.shape).ravel() for x in (y, first, second))
            wanted = field.derivatives(*each).reshape(2, *y.shape)
            np.testing.assert_allclose(got, wanted, rtol=LARGEST)


def test_pairs_that_vary_along_another_axis_are_not_taken_for_columns():
    rng = np.random.default_rng(8)
    y, a = rng.normal(size=(30, 30)), np.repeat([0.5, 4.0], 15)
    rows = np.array(er.pathwise_gradient(y, a[:, None], 2.0))
    columns_of = np.array(er.pathwise_gradient(y.T, a, 2.0)).swapaxes(1, 2)
    np.testing.assert_allclose(rows, columns_of, rtol=LARGEST)


def test_blocks_do_not_show():
    rng = np.random.default_rng(7)
    y, a, b = rng.normal(size=5000), rng.gamma(2, size=5000), rng.gamma(2, size=5000)
    whole = np.array(logit_derivatives(y, a, b))
    for part in (slice(1000, 1050), slice(2040, 2060), slice(4999, 5000)):
        alone = np.array(logit_derivatives(y[part], a[part], b[part]))
        np.testing.assert_allclose(alone, whole[:, part], rtol=LARGEST)


@pytest.mark.parametrize("shared", [True, False])
def test_memory_is_proportional_to_the_input(shared):
    """Beyond the input: contiguous copies, the result, and blocks of some megabytes."""
    y = np.random.default_rng(2).normal(size=300_000)
    a, b = (np.array(2.0), np.array(3.0)) if shared else (np.full(y.size, 2.0), np.array(3.0))
    logit_derivatives(y[:5000], a if shared else a[:5000], b)
    tracemalloc.start()
    logit_derivatives(y, a, b)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * y.nbytes + 5e6


# The derivative of the draw itself


@given(st.floats(1e-12, 1 - 1e-12), log_uniform(-3, 3), log_uniform(-3, 3))
@settings(max_examples=100)
def test_of_draw(c, a, b):
    """dc = c (1 - c) dlogit."""
    got = er.pathwise_gradient_of_draw(c, a, b)
    for value, of_logit in zip(got, er.pathwise_gradient(sc.logit(c), a, b), strict=True):
        assert value == pytest.approx(c * (1 - c) * of_logit, rel=1e-15, abs=0.0)


def test_of_draw_at_the_ends():
    """dc/da -> 0 there: c = u^(1/a) gives -c log(c) / a."""
    gradient = er.pathwise_gradient_of_draw([0.0, 5e-324, 0.25, 1.0], 2.0, 1.0)
    assert gradient.concentration1[0] == gradient.concentration1[3] == 0
    assert gradient.concentration1[1] > 0
    assert gradient.concentration1[2] == pytest.approx(math.log(4) / 8, rel=1e-15)
    assert np.copysign(1, gradient.concentration0[[0, 3]]).tolist() == [1, 1]
    assert type(er.pathwise_gradient_of_draw(0.5, 2, 1).concentration0) is float


# The door


def test_shapes():
    gradient = er.pathwise_gradient(0.5, 2, np.float64(3))
    assert type(gradient.concentration1) is float and type(gradient.concentration0) is float
    gradient = er.pathwise_gradient(np.zeros((4, 1)), [1.0, 2.0, 3.0], 2.0)
    assert gradient.concentration1.shape == gradient.concentration0.shape == (4, 3)
    assert er.pathwise_gradient([0.5], 2.0, 3.0).concentration1.shape == (1,)
    assert er.pathwise_gradient([], 2.0, 3.0).concentration1.shape == (0,)
    assert er.pathwise_gradient(np.zeros((2, 0)), [[2.0], [3.0]], 3.0)[0].shape == (2, 0)
    assert er.pathwise_gradient(0.5, [2.0], [[3.0]]).concentration0.shape == (1, 1)
    assert er.pathwise_gradient(np.zeros((2, 3)), [[2.0]], 3.0).concentration0.shape == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, [1, 2, 3, -1.0], 1.0), "concentration1[3] = -1.0 must lie in [1e-100, 1e+100]"),
        ((0.0, 0.0, 1.0), "concentration1 = 0.0 must lie in [1e-100, 1e+100]"),
        ((0.0, 1, [[1, math.inf]]), "concentration0[0, 1] = inf must lie in [1e-100, 1e+100]"),
        ((0.0, 1.0, math.nan), "concentration0 = nan must lie in [1e-100, 1e+100]"),
        (([0.0, math.nan], 1.0, 1.0), "logit[1] = nan is not finite"),
        ((-math.inf, 1.0, 1.0), "logit = -inf is not finite"),
    ],
)
def test_bad_values(arguments, message):
    with pytest.raises(ValueError) as error:
        er.pathwise_gradient(*arguments)
    assert str(error.value) == message


def test_bad_draws():
    for bad in (-1e-300, 1.5, math.nan):
        with pytest.raises(ValueError, match=r"c\[1\] = .* must lie in \[0, 1\]"):
            er.pathwise_gradient_of_draw([0.5, bad], 1.0, 1.0)


def test_bad_types_and_shapes():
    with pytest.raises(TypeError, match="logit"):
        er.pathwise_gradient("half", 1.0, 1.0)
    with pytest.raises(ValueError, match="broadcast"):
        er.pathwise_gradient([0.0, 1.0], [1.0, 2.0, 3.0], 1.0)
