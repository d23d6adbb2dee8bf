"""`mle.intervals`, and what `EvidenceMaximum` says around a maximum: errors, profiles, text.

The witness is the log evidence as a product of factors (a)(a + 1).../(s)(s + 1)..., which shares no
code with the package: profiled by a grid and scipy's bounded search, differentiated by mpmath at 60
digits and by autograd. A planted fault stands beside the comparisons that could be too forgiving.
"""

import html
import json
import pickle
import re
from functools import lru_cache
from itertools import pairwise

import autograd
import autograd.numpy as anp
import jsonschema
import mpmath
import numpy as np
import pytest
from autograd.scipy.special import gammaln
from hypothesis import given, settings, strategies as st
from scipy import optimize, stats

import elbo_ref as er
from elbo_ref.mle import intervals
from kinds import entries, one_row
from places import SCHEMA
from tiers import few

mp = mpmath.mp.clone()
mp.dps = 60
PARAMETERS = ("concentration1", "concentration0", "mean", "concentration")
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

DATA = {
    "three": er.Counts([3, 4, 9], 10),
    "for_two": er.Counts([0, 1, 2], 2, [40, 30, 50]),
    "sizes": er.Counts([0, 3, 9, 1, 10], [10, 10, 10, 4, 12]),
    "one_latent": er.Counts(3, 10),
    "binomial": er.Counts([5, 5, 5], 10),
    "all_or_none": er.Counts([0, 2], [2, 2]),
    "many_all_or_none": er.Counts([0, 2], [2, 2], [60, 40]),
    "unidentified": er.Counts([1, 0, 1], 1),
    "zeros": er.Counts([0, 0], [5, 8]),
    "ones": er.Counts([30], [30]),
    "nothing": er.Counts([0], [0]),
}
INTERIOR = {
    **{name: DATA[name] for name in ("three", "for_two", "sizes")},
    **{name: er.datasets.load(name) for name in ("saxony", "rat_tumors", "litters_treated")},
}


# -- the slow twin -----------------------------------------------------------------------------


def pair_of(known, free):
    """(a, b) with one parameter known, and one free real number in which all is covered."""
    ((name, value),) = known.items()
    size = np.exp(free)
    if name == "mean":
        return value * size, (1 - value) * size
    if name == "concentration":
        return value / (1 + np.exp(-free)), value / (1 + size)
    return (value, size) if name == "concentration1" else (size, value)


def slow_sum(a, b, counts):
    """log C(N, K) + log (a)_K + log (b)_(N-K) - log (a + b)_N, term by term."""
    total = 0.0
    for k, n, w in entries(counts):
        t = np.arange(n)
        with np.errstate(divide="ignore"):
            each = np.log(a + t[:k, None]).sum(0) + np.log(b + t[: n - k, None]).sum(0)
            each -= np.log(a + b + t[:, None]).sum(0)
        total = total + w * (each + float(mp.log(mp.binomial(n, k))))
    return total


def slow_profile(of, value, counts):
    """The highest of a grid over the free coordinate, refined by scipy."""
    grid = np.linspace(-34, 34, 1361)

    def height(x):
        return slow_sum(*(np.atleast_1d(y) for y in pair_of({of: value}, np.atleast_1d(x))), counts)

    heights = height(grid)
    best = int(np.argmax(heights))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]
    found = optimize.minimize_scalar(
        lambda x: -float(height(x)[0]),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return max(float(heights[best]), -float(found.fun))


def slow_log_evidence(a, b, counts):
    """(E1) by log-gammas with 60 digits."""
    total = mp.mpf(0)
    for k, n, w in entries(counts):
        inside = mp.loggamma(a + k) + mp.loggamma(b + n - k) - mp.loggamma(a + b + n)
        outside = mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)
        total += w * (inside - outside + mp.log(mp.binomial(n, k)))
    return total


def slow_information(prior, counts):
    """Minus the Hessian, from polygammas with 60 digits."""
    a, b = (mp.mpf(float(x)) for x in (prior.concentration1, prior.concentration0))
    found = mp.zeros(2, 2)
    for k, n, w in entries(counts):
        shared = mp.psi(1, a + b) - mp.psi(1, a + b + n)
        found[0, 0] += w * (mp.psi(1, a) - mp.psi(1, a + k) - shared)
        found[1, 1] += w * (mp.psi(1, b) - mp.psi(1, b + n - k) - shared)
        found[0, 1] -= w * shared
        found[1, 0] -= w * shared
    return found


def slow_errors(prior, counts):
    """Delta method on the 60-digit covariance, the parameters differentiated by differences."""
    a, b = (mp.mpf(float(x)) for x in (prior.concentration1, prior.concentration0))
    covariance = slow_information(prior, counts) ** -1
    functions = {
        "concentration1": lambda a, b: a,
        "concentration0": lambda a, b: b,
        "mean": lambda a, b: a / (a + b),
        "concentration": lambda a, b: a + b,
    }
    errors = {}
    for of, function in functions.items():
        slope = mp.matrix([mp.diff(function, (a, b), (1, 0)), mp.diff(function, (a, b), (0, 1))])
        errors[of] = float(mp.sqrt((slope.T * covariance * slope)[0]))
    return errors


@lru_cache(maxsize=64)
def maximum_of(name):
    return er.maximize_evidence((INTERIOR | DATA)[name])


# -- observed information and the delta method ---------------------------------------------------


@pytest.mark.parametrize("name", few(INTERIOR, 3))
def test_covariance_by_mpmath(name):
    """I^-1, I = -(Hessian of the log evidence)"""
    maximum = maximum_of(name)
    slow = slow_information(maximum.prior, maximum.counts) ** -1
    wanted = np.array([[float(slow[i, j]) for j in (0, 1)] for i in (0, 1)])
    np.testing.assert_allclose(maximum.covariance, wanted, rtol=1e-9)
    assert (np.linalg.eigvalsh(maximum.covariance) > 0).all()
    assert np.abs(maximum.covariance / wanted.diagonal() - 1).max() > 0.01


def test_information_by_differences():
    """The 60-digit Hessian is itself that of (E1), by differences of its log-gammas."""
    maximum = maximum_of("three")
    a, b = (mp.mpf(float(x)) for x in maximum.prior.arrays())
    information = slow_information(maximum.prior, maximum.counts)
    for i, j, order in ((0, 0, (2, 0)), (0, 1, (1, 1)), (1, 1, (0, 2))):
        with mp.workdps(40):
            value = mp.diff(
                lambda x, y: slow_log_evidence(x, y, maximum.counts),
                (a, b),
                order,
                h=mp.mpf("1e-9"),
            )
        assert float(-value) == pytest.approx(float(information[i, j]), rel=1e-7)


@pytest.mark.parametrize("name", few(INTERIOR, 3))
def test_standard_errors_by_mpmath(name):
    """slope' I^-1 slope for each of the four."""
    maximum = maximum_of(name)
    wanted = slow_errors(maximum.prior, maximum.counts)
    for of in PARAMETERS:
        assert maximum.standard_errors[of] == pytest.approx(wanted[of], rel=1e-9)


def in_mean_and_concentration(x, counts):
    """(E1) without its coefficient at mean x[0] and concentration x[1], for autograd."""
    a, b = x[0] * x[1], (1 - x[0]) * x[1]
    k, n, w = counts.successes, counts.total_count, counts.multiplicity
    inside = gammaln(a + k) + gammaln(b + n - k) - gammaln(a + b + n)
    return anp.sum(w * (inside - gammaln(a) - gammaln(b) + gammaln(a + b)))


@pytest.mark.parametrize("name", INTERIOR)
def test_standard_errors_by_autograd(name):
    """In other coordinates the information at a maximum is the Hessian there: the delta method
    and a change of variables agree."""
    maximum = maximum_of(name)
    x = np.array([maximum.mean, maximum.concentration])
    information = -autograd.hessian(in_mean_and_concentration)(x, maximum.counts)
    errors = np.sqrt(np.linalg.inv(information).diagonal())
    got = [maximum.standard_errors[of] for of in ("mean", "concentration")]
    np.testing.assert_allclose(got, errors, rtol=1e-5)


def test_standard_errors_for_two_trials():
    """(E11), N = 2: the multinomial of 40, 30, 50 is fitted exactly, and the mean's variance is
    that of K/2, sum n (K/2 - m)^2/latents^2."""
    maximum = maximum_of("for_two")
    m = 130 / 240
    variance = (40 * m**2 + 30 * (0.5 - m) ** 2 + 50 * (1 - m) ** 2) / 120**2
    np.testing.assert_allclose(maximum.standard_errors["mean"], np.sqrt(variance), rtol=1e-9)


def held_at(name, counts):
    """A value near the middle of what may be held."""
    mean = counts.successes.sum() / counts.total_count.sum()
    return {"mean": 0.9 * mean, "concentration": 3.0}.get(name, 2.0)


def pair_of_two(known):
    """(a, b) of any two of the four, with mpmath."""
    x = {name: mp.mpf(value) for name, value in known.items()}
    if "mean" in x:
        m = x["mean"]
        s = x.get("concentration")
        if s is None:
            s = x["concentration1"] / m if "concentration1" in x else x["concentration0"] / (1 - m)
        return m * s, (1 - m) * s
    if "concentration" in x:
        s = x["concentration"]
        a = x["concentration1"] if "concentration1" in x else s - x["concentration0"]
        return a, s - a
    return x["concentration1"], x["concentration0"]


HELD = [(held, of) for held in PARAMETERS for of in PARAMETERS if held != of]


@pytest.mark.parametrize("name", ["three", "for_two"])
@pytest.mark.parametrize(("held", "of"), HELD)
def test_errors_with_something_held(name, held, of):
    """One number is free: 1/sqrt(-second derivative of the log evidence along it)."""
    counts = DATA[name]
    value = held_at(held, counts)
    maximum = er.maximize_evidence(counts, fixed={held: value})
    assert (maximum.kind, maximum.num_parameters) == ("interior", 1)
    at = intervals.PARAMETERS[of](*(float(x) for x in maximum.prior.arrays()))
    with mp.workdps(40):
        bend = mp.diff(
            lambda y: slow_log_evidence(*pair_of_two({held: value, of: y}), counts),
            mp.mpf(at),
            2,
            h=mp.mpf(at) * mp.mpf("1e-9"),
        )
    assert maximum.standard_errors[of] == pytest.approx(float(1 / mp.sqrt(-bend)), rel=1e-6)
    low, high = maximum.confidence_interval(of, method="wald", level=0.9)
    away = 1.6448536269514722 * maximum.standard_errors[of]
    np.testing.assert_allclose([low, high], [at - away, at + away], rtol=1e-12)


@pytest.mark.parametrize("name", INTERIOR)
@pytest.mark.parametrize("prob", [0.5, 0.95, 0.999])
def test_wald(name, prob):
    """Estimate -+ normal quantile x standard error."""
    maximum = maximum_of(name)
    for of in PARAMETERS:
        low, high = maximum.confidence_interval(of, method="wald", level=prob)
        centre = intervals.PARAMETERS[of](*(float(x) for x in maximum.prior.arrays()))
        away = stats.norm.ppf((1 + prob) / 2) * maximum.standard_errors[of]
        np.testing.assert_allclose([low, high], [centre - away, centre + away], rtol=1e-12)


# -- profiles ----------------------------------------------------------------------------------

VALUES = {
    "mean": (1e-6, 0.2, 0.5, 0.93),
    "concentration": (1e-3, 0.7, 5.0, 1e5),
    "concentration1": (1e-2, 1.0, 30.0),
    "concentration0": (1e-2, 1.0, 30.0),
}


@pytest.mark.parametrize("of", PARAMETERS)
@pytest.mark.parametrize("name", few(DATA))
def test_profile_by_scipy(name, of):
    """The highest log evidence with one of the four at a value, over what is left."""
    maximum = maximum_of(name)
    for value in VALUES[of]:
        got, wanted = maximum.profile(of, value), slow_profile(of, value, maximum.counts)
        assert got == pytest.approx(wanted, rel=1e-8, abs=1e-8), value
        assert got <= maximum.log_evidence + 1e-12


@pytest.mark.parametrize("of", PARAMETERS)
@pytest.mark.parametrize("name", few(INTERIOR, 3))
def test_profile_is_highest_at_the_maximum(name, of):
    maximum = maximum_of(name)
    at = intervals.PARAMETERS[of](*(float(x) for x in maximum.prior.arrays()))
    top = maximum.profile(of, at)
    np.testing.assert_allclose(top, maximum.log_evidence, rtol=1e-13)
    assert max(maximum.profile(of, 0.9 * at), maximum.profile(of, 1.05 * at)) < top


@pytest.mark.parametrize(("held", "of"), HELD)
def test_profile_with_something_held(held, of):
    """Nothing is left to maximise over: the log evidence of the one prior."""
    counts = DATA["three"]
    known = {held: held_at(held, counts), of: {"mean": 0.4, "concentration": 7.0}.get(of, 1.5)}
    maximum = er.maximize_evidence(counts, {held: known[held]})
    wanted = float(slow_log_evidence(*pair_of_two(known), counts))
    np.testing.assert_allclose(maximum.profile(of, known[of]), wanted, rtol=1e-12)


def test_profile_where_no_prior_is():
    """A concentration cannot be below one of its parts."""
    maximum = er.maximize_evidence(DATA["three"], {"concentration1": 2.0})
    assert maximum.profile("concentration", 1.5) == -np.inf
    maximum = er.maximize_evidence(DATA["three"], {"concentration": 2.0})
    assert maximum.profile("concentration1", 2.5) == -np.inf
    assert maximum.profile("concentration0", 2.0) == -np.inf


@pytest.mark.parametrize("held", PARAMETERS)
@pytest.mark.parametrize("name", ["three", "for_two", "one_latent", "binomial", "all_or_none"])
def test_maximum_with_something_held_is_the_profile(name, held):
    """Held at a value: the profile of the free maximum there, and the twin's."""
    value = held_at(held, DATA[name])
    found = er.maximize_evidence(DATA[name], fixed={held: value})
    assert found.fixed == {held: value}
    np.testing.assert_allclose(
        found.log_evidence, maximum_of(name).profile(held, value), rtol=1e-14
    )
    np.testing.assert_allclose(found.log_evidence, slow_profile(held, value, DATA[name]), rtol=1e-8)


# -- profile intervals -------------------------------------------------------------------------


def level_of(maximum, prob):
    return maximum.log_evidence - stats.chi2.ppf(prob, 1) / 2


def check_ends(maximum, of, prob, ends):
    """profile(end) = top - chi2/2 at an end that is closed, lower outside, higher inside."""
    level, limits = level_of(maximum, prob), (0.0, 1.0 if of == "mean" else np.inf)
    assert ends[0] < ends[1]
    for end, limit, outward in zip(ends, limits, (-1, 1), strict=True):
        if end == limit:
            continue
        assert limits[0] < end < limits[1]
        assert maximum.profile(of, end) == pytest.approx(level, abs=1e-8)
        step = 1e-3 * min(end, 1 - end) if of == "mean" else 1e-3 * end
        outside, inside = maximum.profile(of, end + outward * step), end - outward * step
        assert outside < level < maximum.profile(of, inside)


@pytest.mark.parametrize("of", PARAMETERS)
@pytest.mark.parametrize(
    "name", few([*INTERIOR, *(name for name in DATA if name not in INTERIOR)], 1)
)
def test_profile_ends(name, of):
    maximum = maximum_of(name)
    found = maximum.confidence_interval(of)
    check_ends(maximum, of, 0.95, found)
    assert found == maximum.confidence_interval(of, method="profile", level=0.95)


FAR = {"mean": (1e-280, 1 - 2.0**-52)}


@pytest.mark.parametrize("of", PARAMETERS)
@pytest.mark.parametrize("name", few(DATA))
def test_an_end_is_open_where_the_profile_never_falls(name, of):
    """By the twin at the far ends: open if and only if it is not below the level there."""
    maximum = maximum_of(name)
    found, level = maximum.confidence_interval(of), level_of(maximum, 0.95)
    limits = (0.0, 1.0 if of == "mean" else np.inf)
    for end, limit, far in zip(found, limits, FAR.get(of, (1e-12, 1e13)), strict=True):
        assert (end == limit) == (slow_profile(of, far, maximum.counts) >= level), (end, far)


OPEN = [
    # name, of, lower is open, upper is open
    ("one_latent", "concentration", False, True),
    ("one_latent", "concentration1", False, True),
    ("one_latent", "concentration0", False, True),
    ("one_latent", "mean", False, False),
    ("binomial", "concentration", False, True),
    ("binomial", "concentration1", False, True),
    ("binomial", "mean", False, False),
    ("many_all_or_none", "concentration", True, False),
    ("many_all_or_none", "concentration1", True, False),
    ("many_all_or_none", "mean", False, False),
    ("all_or_none", "concentration", True, True),
    ("unidentified", "concentration", True, True),
    ("unidentified", "concentration0", True, True),
    ("unidentified", "mean", False, False),
    ("zeros", "mean", True, False),
    ("zeros", "concentration", True, True),
    ("zeros", "concentration1", True, True),
    ("zeros", "concentration0", True, True),
    ("ones", "mean", False, True),
    ("ones", "concentration", True, True),
    ("nothing", "mean", True, True),
    ("nothing", "concentration", True, True),
    ("nothing", "concentration1", True, True),
    ("three", "concentration", False, True),
    ("for_two", "concentration", False, False),
]


@pytest.mark.parametrize(("name", "of", "low", "high"), few(reversed(OPEN), 12))
def test_open_ends(name, of, low, high):
    found = maximum_of(name).confidence_interval(of)
    assert (found.lower == 0.0, found.upper == (1.0 if of == "mean" else np.inf)) == (low, high)


def test_the_interval_of_all_failures_by_hand():
    """The profile of the mean is G log(1 - m), that of latents which are full or empty: it falls
    by chi2/2 at 1 - exp(-chi2/(2 G))."""
    found = maximum_of("zeros").confidence_interval("mean", level=0.9)
    wanted = -np.expm1(-stats.chi2.ppf(0.9, 1) / 2 / 2)
    assert found.lower == 0.0
    np.testing.assert_allclose(found.upper, wanted, rtol=1e-10)


def test_the_interval_of_single_trials_by_hand():
    """N = 1: the binomial likelihood's own, k log m + (n - k) log(1 - m), whatever the rest."""
    found = maximum_of("unidentified").confidence_interval("mean")
    level = np.log(4 / 27) - stats.chi2.ppf(0.95, 1) / 2
    for end in found:
        np.testing.assert_allclose(2 * np.log(end) + np.log1p(-end), level, rtol=1e-11)


@pytest.mark.parametrize("of", few(PARAMETERS))
@pytest.mark.parametrize("name", few(DATA))
def test_swapping_successes_and_failures(name, of):
    """a <-> b, m -> 1 - m, s stays."""
    counts = DATA[name]
    other = er.maximize_evidence(
        er.Counts(counts.failures, counts.total_count, counts.multiplicity)
    )
    swapped = {"concentration1": "concentration0", "concentration0": "concentration1"}.get(of, of)
    one, two = maximum_of(name).confidence_interval(of), other.confidence_interval(swapped)
    if of == "mean":
        two = 1 - two.upper, 1 - two.lower
    np.testing.assert_allclose(one, two, rtol=1e-8, atol=1e-12)
    if other.prior is not None:
        errors = maximum_of(name).standard_errors[of], other.standard_errors[swapped]
        np.testing.assert_allclose(*errors, rtol=1e-8)


@pytest.mark.parametrize("of", few(reversed(PARAMETERS)))
@pytest.mark.parametrize(
    "name", few(["three", "for_two", "one_latent", "many_all_or_none", "zeros"])
)
def test_a_larger_probability_is_wider(name, of):
    """Nested; an end that is open stays open. And the estimate is inside."""
    maximum = maximum_of(name)
    found = [maximum.confidence_interval(of, level=prob) for prob in (0.2, 0.8, 0.99)]
    for inner, outer in pairwise(found):
        assert outer.lower < inner.lower or outer.lower == inner.lower == 0.0
        assert outer.upper > inner.upper or outer.upper == inner.upper >= 1.0
    if maximum.prior is not None:
        at = intervals.PARAMETERS[of](*(float(x) for x in maximum.prior.arrays()))
        assert found[0].lower < at < found[0].upper


@pytest.mark.thorough
@settings(settings(max_examples=20), max_examples=12)
@given(
    rows=st.lists(
        one_row(st.integers(1, 9)),
        min_size=1,
        max_size=4,
    ),
    of=st.sampled_from(PARAMETERS),
    prob=st.sampled_from([0.5, 0.95]),
)
def test_profile_ends_of_any_table(rows, of, prob):
    k, n = zip(*rows, strict=True)
    maximum = er.maximize_evidence(er.Counts(k, n))
    check_ends(maximum, of, prob, maximum.confidence_interval(of, level=prob))


@pytest.mark.thorough
@pytest.mark.parametrize("w", [100, 10_000])
def test_wald_and_profile_agree_on_much_data(w):
    """To a few percent of the width at 100 times the latents, ten times closer at 10000 times."""
    maximum = er.maximize_evidence(er.Counts([0, 1, 2], 2, w * np.array([40, 30, 50])))
    for of in PARAMETERS:
        profile = np.array(maximum.confidence_interval(of))
        wald = np.array(maximum.confidence_interval(of, method="wald"))
        assert np.abs(wald - profile).max() < 0.6 / np.sqrt(w) * np.ptp(wald)


@pytest.mark.parametrize("name", few(["three", "for_two"]))
@pytest.mark.parametrize(("held", "of"), HELD)
def test_profile_ends_with_something_held(name, held, of):
    """A held parameter has no interval; the others have one, within that of both free or not."""
    maximum = er.maximize_evidence(DATA[name], {held: held_at(held, DATA[name])})
    check_ends(maximum, of, 0.95, maximum.confidence_interval(of))


HELD_AT_AN_END = [
    # successes, total_count, held, of: the profile rises to the lower end of its range
    ([0, 0], [50, 80], {"concentration": 2.0}, "mean"),
    ([0, 0], [50, 80], {"concentration": 2.0}, "concentration1"),
    ([0, 0], [50, 80], {"concentration0": 3.0}, "concentration1"),
    ([0, 0], [50, 80], {"concentration0": 3.0}, "mean"),
    ([0, 0], [50, 80], {"concentration1": 3.0}, "mean"),
    ([50, 80], [50, 80], {"concentration": 2.0}, "concentration0"),
    ([50, 80], [50, 80], {"concentration1": 3.0}, "concentration0"),
]


@pytest.mark.parametrize(("k", "n", "held", "of"), HELD_AT_AN_END)
def test_something_held_where_all_trials_end_alike(k, n, held, of):
    """The supremum is 0 as the mean goes to the end: the interval is open there, closed inside."""
    maximum = er.maximize_evidence(er.Counts(k, n), held)
    assert (maximum.kind, maximum.log_evidence) == ("degenerate", 0.0)
    found = maximum.confidence_interval(of)
    assert found.lower == 0.0
    check_ends(maximum, of, 0.95, found)


@pytest.mark.parametrize(
    ("held", "of", "wanted"),
    [
        ({"concentration1": 3.0}, "mean", (0.0, 1.0)),
        ({"concentration0": 3.0}, "mean", (0.0, 1.0)),
        ({"concentration": 2.0}, "mean", (0.0, 1.0)),
        ({"concentration0": 3.0}, "concentration1", (0.0, np.inf)),
        ({"mean": 0.3}, "concentration", (0.0, np.inf)),
    ],
)
def test_something_held_where_nothing_is_known(held, of, wanted):
    """Without trials every prior does."""
    maximum = er.maximize_evidence(er.Counts(0, 0), held)
    assert maximum.kind == "no_information"
    assert tuple(maximum.confidence_interval(of)) == wanted


HELD_INSIDE = [
    (DATA["three"], {"mean": 0.3}),
    (DATA["binomial"], {"mean": 0.3}),
    (DATA["one_latent"], {"mean": 1e-5}),
    (er.Counts([3, 1], [4, 4]), {"mean": 0.9896897703942175}),
    (er.Counts([0, 1, 0, 0], 8), {"mean": 0.7651331741246171}),
    (DATA["three"], {"concentration": 2.0}),
    (DATA["three"], {"concentration1": 2.0}),
]


@pytest.mark.parametrize(("data", "held"), HELD_INSIDE)
def test_summary_of_what_is_held(data, held):
    """Its value, and neither an error nor an interval beside it."""
    maximum = er.maximize_evidence(data, held)
    assert maximum.kind == "interior"
    for line in maximum.summary().splitlines()[3:7]:
        uncertain = "+-" in line or "profile" in line
        assert uncertain == (line.split(":")[0] not in held)


@pytest.mark.parametrize(("data", "held"), HELD_INSIDE)
def test_what_is_held_has_no_error(data, held):
    """The standard error of what is held is 0 to rounding, and no reason for a warning."""
    maximum = er.maximize_evidence(data, held)
    ((name, value),) = held.items()
    assert 0 <= maximum.standard_errors[name] <= 1e-7 * value


@pytest.mark.thorough
@pytest.mark.parametrize("w", [10**4, 10**6, 10**8, 10**12])
def test_errors_of_a_maximum_near_the_binomial(w):
    """(E11) with numbers w + 1, 2 w - 2, w + 1: a + b = w - 1, and the error of it is as large as
    its square over the root of the latents, which the Hessian's rounding must not swallow."""
    maximum = er.maximize_evidence(er.Counts([0, 1, 2], 2, [w + 1, 2 * w - 2, w + 1]))
    np.testing.assert_allclose(maximum.concentration, w - 1, rtol=1e-6)
    wanted = slow_errors(maximum.prior, maximum.counts)
    assert maximum.summary()
    for of in PARAMETERS:
        assert maximum.standard_errors[of] == pytest.approx(wanted[of], rel=1e-2)


@pytest.mark.thorough
@pytest.mark.parametrize("of", PARAMETERS[:2] + PARAMETERS[3:])
def test_the_interval_begins_beyond_the_range_of_concentrations(of):
    """One latent of 1e18 trials: the profile still rises at 1e15, where the search ends, and all of
    the interval is beyond. All-or-none data of 2e15 latents are the same at 1e-12."""
    found = er.maximize_evidence(er.Counts(3 * 10**17, 10**18)).confidence_interval(of)
    assert 1e15 * (1 - 1e-9) <= found.lower < found.upper == np.inf
    found = er.maximize_evidence(er.Counts([0, 2], 2, [10**15, 10**15])).confidence_interval(of)
    assert 0.0 == found.lower < found.upper <= 1e-12 * (1 + 1e-9)


@pytest.mark.thorough
@pytest.mark.parametrize("prob", [1e-4, 1e-8])
@pytest.mark.parametrize("of", PARAMETERS)
def test_a_tiny_probability(of, prob):
    """chi2/2 is then near or below the rounding of the log evidence: the estimate, nearly."""
    maximum = maximum_of("rat_tumors")
    at = intervals.PARAMETERS[of](*(float(x) for x in maximum.prior.arrays()))
    np.testing.assert_allclose(maximum.confidence_interval(of, level=prob), [at, at], rtol=1e-3)


# -- regions that are several intervals ----------------------------------------------------------

TWO = er.Counts([0, 3, 15, 26, 34], [3, 3, 30, 60, 60], 5 * np.array([3, 3, 1, 1, 1]))
FAR_APART = er.Counts([0, 4, 42, 58, 1000], [4, 4, 100, 100, 2000], 5 * np.array([3, 3, 2, 2, 1]))


def crossings(counts, low, high, level):
    """Where the twin's profile over a + b, at the mean 1/2 of symmetric counts, meets a level."""
    grid = np.geomspace(low, high, 4001)
    heights = slow_sum(grid / 2, grid / 2, counts) - level

    def height(log):
        return float(slow_sum(*np.full((2, 1), np.exp(log) / 2), counts)[0]) - level

    turns = np.flatnonzero(np.diff(np.sign(heights)))
    return [np.exp(optimize.brentq(height, *np.log(grid[i : i + 2]), xtol=1e-13)) for i in turns]


@pytest.mark.parametrize("counts", few([TWO, FAR_APART]))
def test_several_intervals_of_the_concentration(counts):
    """Two maxima with a dip below the level between them, at mean 1/2 by symmetry: by the twin."""
    maximum = er.maximize_evidence(counts)
    region = maximum.confidence_interval("concentration")
    wanted = crossings(counts, 1e-3, 1e6, level_of(maximum, 0.95))
    (low, start), (end, high) = region.intervals
    np.testing.assert_allclose([low, start, end], wanted, rtol=1e-9)
    assert (high, region.proven, region.connected) == (np.inf, True, False)
    assert tuple(region) == (region.lower, region.upper) == (low, np.inf)
    assert start in region
    assert (start + end) / 2 not in region


@pytest.mark.thorough
@pytest.mark.parametrize("of", ["concentration1", "concentration0"])
@pytest.mark.parametrize("counts", [TWO, FAR_APART])
def test_several_intervals_by_the_twin(counts, of):
    """The twin's profile at points inside, at the edges of and in the gap."""
    maximum = er.maximize_evidence(counts)
    region, level = maximum.confidence_interval(of), level_of(maximum, 0.95)
    (low, start), (end, high) = region.intervals
    assert high == np.inf
    inside = [1.01 * low, 0.99 * start, 1.01 * end, 100 * end]
    for value in (*inside, 0.99 * low, 1.01 * start, np.sqrt(start * end), 0.99 * end):
        assert (slow_profile(of, value, counts) >= level) == (value in inside), value


@pytest.mark.thorough
def test_one_interval_where_values_overlap():
    """Two parts of the plane, at either of which the mean may be 1/2: one interval of it."""
    assert er.maximize_evidence(TWO).confidence_interval("mean").connected


HOLES = [
    # what is held, of what, how many
    ({"mean": 0.5}, "concentration", 2),
    ({"mean": 0.5}, "concentration1", 2),
    ({"concentration1": 20.0}, "mean", 1),
    ({"concentration": 20.0}, "concentration0", 1),
]


@pytest.mark.parametrize(("held", "of", "number"), HOLES)
def test_several_intervals_with_something_held(held, of, number):
    region = er.maximize_evidence(TWO, held).confidence_interval(of)
    assert (len(region.intervals), region.proven) == (number, True)


@pytest.mark.thorough
def test_a_dip_before_the_limit_is_not_jumped():
    """From 0.93 to infinity as one interval, with values below the level at 460 to 1168."""
    maximum = er.maximize_evidence(FAR_APART)
    region = maximum.confidence_interval("concentration")
    for value in np.geomspace(460, 1168, 5):
        assert maximum.profile("concentration", value) < level_of(maximum, 0.95)
        assert value not in region


@pytest.mark.thorough
def test_no_interval_is_missed():
    """Random data about a set with two intervals: the twin on a grid."""
    rng = np.random.default_rng(5)
    several = 0
    for _ in range(12):
        k, n = [0, 3, 15, 26, 34], [3, 3, 30, 60, 60]
        counts = er.Counts(k, n, np.array([15, 15, 5, 5, 5]) + rng.integers(-1, 2, 5))
        maximum = er.maximize_evidence(counts)
        region, level = maximum.confidence_interval("concentration"), level_of(maximum, 0.95)
        several += not region.connected
        for value in np.geomspace(1e-2, 1e4, 60):
            height = slow_profile("concentration", value, counts)
            assert abs(height - level) < 1e-6 or (height >= level) == (value in region), value
    assert several >= 3


def test_a_region_is_a_frozen_value():
    """Equal if the same set, then with one hash; pickled whole; no attribute can be set."""
    maximum, again = er.maximize_evidence(TWO), er.maximize_evidence(TWO)
    one, two = (x.confidence_interval("concentration") for x in (maximum, again))
    assert (one, hash(one)) == (two, hash(two)) and one is not two
    assert one is maximum.confidence_interval("concentration")  # each is found once
    assert one != maximum.confidence_interval("concentration", level=0.9)
    whole = maximum_of("three").confidence_interval()
    assert (len(whole), whole[0], whole[-1]) == (2, whole.lower, whole.upper)
    for region in (one, whole):
        again = pickle.loads(pickle.dumps(region))
        assert (again, vars(again)) == (region, vars(region))
        with pytest.raises(AttributeError):
            region.proven = False
        with pytest.raises(AttributeError):
            del region.level


@pytest.mark.parametrize("name", few(["three", "zeros", "for_two", "nothing"], 2))
@pytest.mark.parametrize("of", PARAMETERS)
def test_regions_as_documents(name, of):
    region = maximum_of(name).confidence_interval(of)
    VALIDATOR.validate(json.loads(region.to_json()))
    assert len(region.intervals) == 1
    assert region.connected


def test_several_intervals_as_a_document():
    region = er.maximize_evidence(TWO).confidence_interval("concentration")
    plain = json.loads(region.to_json())
    VALIDATOR.validate(plain)
    assert plain["sentence"] == "several intervals: 0.53327 to 6.0208; 17.672 to inf"
    assert [part["lower"] for part in plain["intervals"]] == [x.lower for x in region.intervals]
    assert plain["intervals"][1]["upper"] is None


# -- extremes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [5e-324, 2.3e-308, 1e-200, 9e-81])
@pytest.mark.parametrize("name", ["three", "zeros", "unidentified"])
def test_a_mean_too_small_to_hold(name, mean):
    rule = f"mean = {mean!r} must be at least 1e-80"
    with pytest.raises(ValueError, match=re.escape(rule)):
        er.maximize_evidence(DATA[name], {"mean": mean})
    with pytest.raises(ValueError, match=re.escape(rule)):
        maximum_of(name).profile("mean", mean)


@pytest.mark.parametrize("mean", [1e-80, 1e-17, 1 - 2.0**-53])
@pytest.mark.parametrize("name", few(DATA))
def test_extreme_means_held(name, mean):
    """Finite, and silent where arithmetic is strict."""
    with np.errstate(all="raise"):
        maximum = er.maximize_evidence(DATA[name], {"mean": mean})
        assert np.isfinite(maximum.log_evidence)
        assert maximum.log_evidence <= 0
        assert maximum.summary()


@pytest.mark.parametrize("of", few(reversed(PARAMETERS)))
@pytest.mark.parametrize("name", few(["three", "zeros", "many_all_or_none"]))
def test_intervals_where_arithmetic_is_strict(name, of):
    with np.errstate(all="raise"):
        strict = er.maximize_evidence(DATA[name]).confidence_interval(of)
    assert strict == maximum_of(name).confidence_interval(of)


# -- criteria ----------------------------------------------------------------------------------


def test_criteria():
    """AIC = 2 p - 2 log evidence, BIC = p log(latents with trials) - 2 log evidence."""
    counts = er.Counts([3, 4, 9, 0, 5], [10, 10, 10, 0, 9], [2, 1, 3, 8, 0])
    for fixed, p in ((None, 2), ({"mean": 0.4}, 1)):
        maximum = er.maximize_evidence(counts, fixed)
        assert maximum.num_parameters == p
        np.testing.assert_allclose(maximum.aic, 2 * p - 2 * maximum.log_evidence, rtol=1e-15)
        np.testing.assert_allclose(
            maximum.bic, p * np.log(6) - 2 * maximum.log_evidence, rtol=1e-15
        )
    nothing = maximum_of("nothing")
    assert (nothing.aic, nothing.bic) == (4.0, 0.0)


@pytest.mark.parametrize(("name", "printed"), [("saxony", 24989.74), ("alcohol_week1", 1630.914)])
def test_criteria_as_printed(name, printed):
    """Wikipedia's AIC of the families of Saxony, fitODBOD's of the drinkers."""
    aic = er.maximize_evidence(er.datasets.load(name)).aic
    np.testing.assert_allclose(aic, printed, atol=0.006)


# -- refusals ----------------------------------------------------------------------------------

UNKNOWN = "must be one of concentration1, concentration0, mean, concentration"


@pytest.mark.parametrize("name", ["a", "total", "Mean", "", None, 3])
def test_unknown_parameter(name):
    maximum = maximum_of("three")
    words = f"^{re.escape(f'parameter: {name!r} {UNKNOWN}')}(, rho)?$"
    for call in (
        lambda: maximum.confidence_interval(name, method="profile"),
        lambda: maximum.confidence_interval(name, method="wald"),
        lambda: maximum.profile(name, 0.5),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    with pytest.raises(ValueError, match=f"^{re.escape(f'fixed: {name!r} {UNKNOWN}')}$"):
        er.maximize_evidence(maximum.counts, {name: 0.5})


@pytest.mark.parametrize("held", PARAMETERS)
def test_no_interval_of_what_is_held(held):
    maximum = er.maximize_evidence(DATA["three"], {held: 0.25})
    words = f"^{re.escape(f'parameter = {held!r} is held fixed at 0.25')}$"
    for call in (
        lambda: maximum.confidence_interval(held, method="profile"),
        lambda: maximum.confidence_interval(held, method="wald"),
        lambda: maximum.profile(held, 0.5),
    ):
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 95, float("nan"), float("inf")])
@pytest.mark.parametrize("method", ["profile", "wald"])
def test_level_is_strictly_between(method, level):
    words = re.escape(f"level = {level!r} must lie strictly between 0 and 1")
    words += "; 95 % is 0.95" if level == 95 else ""
    with pytest.raises(ValueError, match=f"^{words}$"):
        maximum_of("three").confidence_interval(method=method, level=level)


@pytest.mark.parametrize("level", [True, [0.5, 0.9], None, "0.9"])
def test_level_is_a_number(level):
    with pytest.raises(TypeError, match=r"^level must be "):
        maximum_of("three").confidence_interval(level=level)


@pytest.mark.parametrize("method", ["Wald", "profiles", "", None])
def test_unknown_method(method):
    words = re.escape(f"method = {method!r} must be 'wald' or 'profile'")
    with pytest.raises(ValueError, match=f"^{words}$"):
        maximum_of("three").confidence_interval(method=method)


@pytest.mark.parametrize("name", [name for name in DATA if name not in INTERIOR])
def test_no_errors_without_an_interior_maximum(name):
    maximum = maximum_of(name)
    words = f"^{re.escape(f'no standard errors: {maximum.sentence}')}$"
    for call in (
        lambda: maximum.covariance,
        lambda: maximum.standard_errors["mean"],
        lambda: maximum.confidence_interval(method="wald"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


BETWEEN, RANGE = "must lie strictly between 0 and 1", "must lie in [1e-12, 1e15]"


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("mean", 0.0, BETWEEN),
        ("mean", 1.0, BETWEEN),
        ("mean", float("nan"), BETWEEN),
        ("concentration", 0.0, RANGE),
        ("concentration", 1e16, RANGE),
        ("concentration1", -1.0, RANGE),
        ("concentration0", float("inf"), RANGE),
    ],
)
def test_values_out_of_range(name, value, rule):
    words = f"^{re.escape(f'{name} = {value!r} {rule}')}$"
    with pytest.raises(ValueError, match=words):
        maximum_of("three").profile(name, value)
    with pytest.raises(ValueError, match=words):
        er.maximize_evidence(DATA["three"], {name: value})


@pytest.mark.parametrize(
    ("fixed", "error", "words"),
    [
        (["mean"], TypeError, "fixed must be a mapping, as {'mean': 0.2}, not list"),
        ("mean", TypeError, "fixed must be a mapping, as {'mean': 0.2}, not str"),
        ({}, ValueError, "fixed must hold one thing, not 0"),
        ({"mean": 0.5, "concentration": 2.0}, ValueError, "fixed must hold one thing, not 2"),
        ({"mean": True}, TypeError, "mean must be a real number, not True"),
        ({"mean": [0.5]}, TypeError, "mean must be a real number, not [0.5]"),
    ],
)
def test_what_may_be_held(fixed, error, words):
    with pytest.raises(error, match=f"^{re.escape(words)}$"):
        er.maximize_evidence(DATA["three"], fixed)


def test_only_counts_have_a_maximum():
    with pytest.raises(TypeError, match=r"^counts must be a Counts, not tuple: make it by Co"):
        er.maximize_evidence((3, 10))


# -- text and documents ------------------------------------------------------------------------

ANY = [(name, None) for name in DATA] + [("three", {held: 0.25}) for held in PARAMETERS[::2]]


@pytest.mark.parametrize(("name", "fixed"), few(ANY))
def test_pickle(name, fixed):
    maximum = er.maximize_evidence(DATA[name], fixed)
    again = pickle.loads(pickle.dumps(maximum))
    assert (again, repr(again)) == (maximum, repr(maximum))
    assert again.to_json() == maximum.to_json()
    one, two = (x.confidence_interval("concentration0") for x in (again, maximum))
    assert one == two


def walk(value):
    """Every mapping of a document."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from walk(inner)


@pytest.mark.parametrize(("name", "fixed"), few(ANY, 6))
def test_json(name, fixed):
    """Valid, every digit, and each null, and nothing else, has its reason."""
    maximum = er.maximize_evidence(DATA[name], fixed)
    document = json.loads(maximum.to_json(), parse_constant=lambda word: pytest.fail(word))
    VALIDATOR.validate(document)
    for mapping in walk(document):
        for key, value in mapping.items():
            if not key.endswith("_reason"):
                assert (value is None) == (f"{key}_reason" in mapping), key
    assert document["schema"] == "elbo_ref/evidence_maximum/1"
    assert er.Counts.from_columns(**document["counts"]) == maximum.counts
    for key in ("kind", "log_evidence", "attained", "fixed", "sentence", "aic", "bic"):
        assert document[key] == getattr(maximum, key)
    for key in ("mean", "concentration"):
        value = getattr(maximum, key)
        assert document[key] == (None if value in (None, np.inf) else value)
    errors = document["standard_errors"]
    if maximum.prior is None:
        assert (document["prior"], errors) == (None, None)
        assert document["standard_errors_reason"] == "there is no interior maximum"
    else:
        assert er.Beta(**document["prior"]) == maximum.prior
        assert errors == {
            of: maximum.standard_errors[of] for of in PARAMETERS if of not in maximum.fixed
        }


def test_the_schema_notices():
    """A planted fault: a document without its proof is refused."""
    document = json.loads(maximum_of("three").to_json())
    del document["proof"]
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(document)


@pytest.mark.parametrize(("name", "fixed"), few(ANY))
def test_html_is_the_escaped_summary(name, fixed):
    maximum = er.maximize_evidence(DATA[name], fixed) if fixed else maximum_of(name)
    text = maximum._repr_html_()
    assert text.startswith("<pre>") and text.endswith("</pre>")
    body = text.removeprefix("<pre>").removesuffix("</pre>")
    assert "<" not in body and ">" not in body
    assert html.unescape(body) == maximum.summary()


def test_html_escapes():
    assert "prior mean -&gt; 0" in maximum_of("zeros")._repr_html_()


def check_line(line, name, value):
    """``name: value``, to 12 digits or more; what follows the value."""
    head, text, *rest = line.split(" ", 2)
    assert head == f"{name}:"
    assert float(text) == pytest.approx(value, rel=2e-12, abs=0)
    return rest


def test_summary():
    """Estimates to 12 digits or more, their errors to five."""
    maximum = maximum_of("for_two")
    lines = maximum.summary().splitlines()
    assert lines[:2] == [
        "130 of 240 trials succeed, latents 120",
        "interior: the evidence has its maximum -129.31 at Beta(0.5493, 0.46479)",
    ]
    a, b = maximum.prior.concentration1, maximum.prior.concentration0
    values = {"concentration1": a, "concentration0": b, "mean": a / (a + b), "concentration": a + b}
    for line, (of, value) in zip(lines[3:7], values.items(), strict=True):
        assert check_line(line, of, value) == [f"+- {maximum.standard_errors[of]:.5g}"]
    rho, error = 1 / (1 + a + b), maximum.standard_errors["concentration"]
    assert check_line(lines[7], "rho", rho) == [f"+- {rho**2 * error:.5g}"]
    assert len(lines) == 9


@pytest.mark.thorough
def test_summary_of_what_is_no_parabola():
    """Profile intervals; those of rho are the ends of a + b, and at the binomial limit it is 0."""
    for counts in (er.Counts([3, 1, 9, 4], [10, 9, 10, 8]), er.Counts([3, 1, 4], [10, 9, 8])):
        maximum = er.maximize_evidence(counts)
        (line,) = (x for x in maximum.summary().splitlines() if x.startswith("rho: "))
        low, high = maximum.confidence_interval("concentration")
        assert line.endswith(f"({1 / (1 + high):.5g} to {1 / (1 + low):.5g}, 95% profile)")
        assert float(line.split()[1]) == pytest.approx(maximum.rho, rel=1e-12)


def log_evidence_line(maximum):
    (line,) = (x for x in maximum.summary().splitlines() if x.startswith("log evidence: "))
    return float(line.removeprefix("log evidence: "))


_TOLD = {"binomial": 3, "all_or_none": 3, "degenerate": 1, "unidentified": 1}
"""The parameters that are known in a limit: mean, concentration and rho, or the mean alone."""


@pytest.mark.parametrize("name", few(reversed(DATA), 5))
def test_summary_of_every_kind(name):
    maximum = maximum_of(name)
    lines = maximum.summary().splitlines()
    assert lines[:2] == [maximum.counts.summary(), f"{maximum.kind}: {maximum.sentence}"]
    assert log_evidence_line(maximum) == pytest.approx(maximum.log_evidence, rel=2e-12, abs=0)
    assert lines[-1].startswith("proof: ") and f"({maximum.proof.how})" in lines[-1]
    told = 5 if maximum.prior else _TOLD.get(maximum.kind, 0)
    assert len(lines) == 4 + told


def test_summary_and_repr_say_what_is_held():
    maximum = er.maximize_evidence(DATA["three"], {"concentration0": 2.5})
    assert maximum.summary().splitlines()[0] == (
        "16 of 30 trials succeed, latents 3, concentration0 held at 2.5"
    )
    assert repr(maximum).endswith(", fixed={'concentration0': 2.5})")
    assert repr(maximum_of("three")) == (
        f"EvidenceMaximum(kind='interior', log_evidence={maximum_of('three').log_evidence!r}, "
        f"prior={maximum_of('three').prior!r})"
    )


def test_held_at_the_supremum_of_degenerate_data():
    """0 of 10 with a + b = 10 held: the supremum is at b = 10, and 7.58 is on the level."""
    found = er.maximize_evidence(er.Counts(0, 10), fixed={"concentration": 10.0})
    lower, upper = found.confidence_interval("concentration0")
    assert (lower, upper) == (pytest.approx(7.5799, abs=1e-4), pytest.approx(10, rel=1e-9))
    mirror = er.maximize_evidence(er.Counts(10, 10), fixed={"concentration": 10.0})
    assert mirror.confidence_interval("concentration1") == pytest.approx((lower, upper), rel=1e-9)


def test_a_tiny_concentration0_held_beside_a_large_total():
    """Beta(s - b, b) with b = 1e-10: b is what was held, not s less the rounded rest."""
    maximum = er.maximize_evidence(er.Counts(1, 1), fixed={"concentration0": 1e-10})
    assert maximum.profile("concentration", 1e7) == pytest.approx(-1e-17, rel=1e-9, abs=0.0)
    assert maximum.confidence_interval("concentration").upper == np.inf
