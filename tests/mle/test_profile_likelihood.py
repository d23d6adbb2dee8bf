"""Profiles over a parameter of the prior: where a region ends, and where the highest value is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er
from elbo_ref.mle.profile_likelihood import (
    _LOG,
    _LOGIT,
    ProfileLikelihood,
    _crossing,
    _gap,
    _root,
    connected_parts,
)
from elbo_ref.mle.solve import solve

COUNTS = er.Counts([0, 3, 9, 1, 10], [10, 10, 10, 4, 12])


def parabola(x):
    return 1.7**2 - x * x


@pytest.mark.parametrize("sign", [1, -1])
def test_an_end_that_is_expected_is_taken_without_a_search(sign):
    """Where the function is negative a little beyond it: one value, and no more steps."""
    seen = []

    def excess(x):
        seen.append(x)
        return parabola(x)

    asked = []

    def expected(x, toward):
        asked.append((x, toward))
        return sign * 1.7, 1e-12

    found = _crossing(excess, expected, 0.0, sign * 5.0)
    assert found == sign * 1.7 and asked == [(0.0, sign)]
    start, beyond = seen
    assert start == 0.0
    assert (sign * beyond - 1.7) / 1e-13 == pytest.approx(10 + 1 + 1.7, abs=0.02)


@pytest.mark.parametrize("wrong", [1.2, -0.3, 0.0, 4.999999, 5.0, 5.1, None], ids=lambda x: f"{x}")
def test_an_end_that_is_expected_wrongly_is_found_all_the_same(wrong):
    """Inside, behind the start, or at the end of the range or beyond it."""

    def expected(_x, _sign):
        return None if wrong is None else (wrong, 1e-6)

    found = _crossing(parabola, expected, 0.0, 5.0)
    if wrong == 4.999999:
        return
    assert found == pytest.approx(1.7, rel=1e-12)


def test_an_end_is_looked_for_in_steps_that_double():
    """From half a unit on; the drop's root is what is solved, which is a line for a parabola."""
    seen = []

    def excess(x):
        seen.append(x)
        return 100.0 - x * x

    assert _crossing(excess, lambda *_: None, 0.0, 50.0) == pytest.approx(10.0, rel=1e-12)
    tried = list(dict.fromkeys(seen))
    assert tried[:6] == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5] and len(tried) < 12
    short = []
    assert _crossing(lambda x: short.append(x) or 1.0, lambda *_: None, 0.0, 1.2) is None
    assert list(dict.fromkeys(short)) == [0.0, 0.5, 1.2]


def test_an_end_is_expected_again_where_the_function_has_fallen():
    """From the start, and from where the root of its drop is a tenth of its height's."""
    asked = []

    def expected(x, _sign):
        asked.append(x)

    def excess(x):
        return 1.0 - (0.009 if x < 1 else 0.011 if x < 2 else 0.5) * (x > 0)

    _crossing(excess, expected, 0.0, 6.0)
    assert asked == [0.0, 1.5, 3.5, 6.0]


def test_roots_to_thirteen_digits():
    assert _root(lambda x: np.cos(x), 1.0, 2.0) == pytest.approx(np.pi / 2, rel=1e-13)


def test_a_gap_is_looked_for_between_two_starts():
    """By halves, toward where the starts of the parts change; its ends are the function's zeros."""
    seen = []

    def excess(x):
        seen.append(x)
        return (x - 1.0) * (x - 1.01)

    found = _gap(excess, lambda x: 0.0 if x < 1.005 else 3.0, 0.0, 3.0)
    assert found == pytest.approx((1.0, 1.01), rel=1e-12)
    assert seen[:3] == [1.5, 0.75, 1.125]


def test_values_on_the_scales_are_clipped_to_their_ends():
    assert _LOGIT.into(0.25) == pytest.approx(np.log(1 / 3)) and _LOG.into(2.0) == np.log(2.0)
    assert (
        _LOGIT.into(-0.5) == -np.inf and _LOGIT.into(1.5) == np.inf and _LOG.into(-1.0) == -np.inf
    )
    assert _LOGIT.out_of(0.0) == 0.5 and _LOG.out_of(0.0) == 1.0


@pytest.mark.parametrize("parameter", ["mean", "concentration", "concentration1", "concentration0"])
def test_the_height_at_a_value(parameter):
    """The highest log evidence with the parameter held, by trying what is left."""
    value = {"mean": 0.3, "concentration": 2.0}.get(parameter, 0.8)
    height, prior = ProfileLikelihood(COUNTS, parameter, {})(value)
    assert getattr(er.maximize_evidence(COUNTS, {parameter: value}), "log_evidence") == height  # noqa: B009
    x = np.exp(np.linspace(-6, 6, 400))
    pairs = {
        "mean": [(0.3 * s, 0.7 * s) for s in x], "concentration1": [(0.8, b) for b in x],
        "concentration": [(2 * y / (1 + y), 2 / (1 + y)) for y in x],
        "concentration0": [(a, 0.8) for a in x],
    }[parameter]  # fmt: skip
    k, n = COUNTS.successes, COUNTS.total_count
    tried = max(stats.betabinom.logpmf(k, n, *pair).sum() for pair in pairs)
    assert height - 5e-3 <= tried <= height + 1e-9
    assert er.log_evidence(prior, COUNTS) == pytest.approx(height, rel=1e-13)


def test_the_height_beside_what_is_held():
    """That of the one prior with both; none has a concentration1 beyond their sum."""
    held = ProfileLikelihood(COUNTS, "concentration1", {"concentration": 2.0})
    height, prior = held(0.5)
    assert prior.arrays() == (0.5, 1.5)
    assert height == pytest.approx(er.log_evidence(er.Beta(0.5, 1.5), COUNTS), rel=1e-15)
    assert held(2.5) == (-np.inf, None) and held(2.0) == (-np.inf, None)


HIGHEST = [
    (er.Counts([0, 3, 9], 10), "mean", {}, None),
    (er.Counts([5, 5, 5], 10), "mean", {}, 0.5),
    (er.Counts([5, 5, 5], 10), "concentration", {}, np.inf),
    (er.Counts([5, 5, 5], 10), "concentration1", {}, np.inf),
    (er.Counts([0, 10, 0], 10), "mean", {}, 1 / 3),
    (er.Counts([0, 10, 0], 10), "concentration0", {}, 0.0),
    (er.Counts([0, 1, 1, 0], 1), "mean", {}, 0.5),
    (er.Counts([0, 1, 1, 0], 1), "concentration", {}, 1.0),
    (er.Counts([0, 1, 1, 0], 1), "concentration1", {}, 0.5),
    (er.Counts(0, 0), "mean", {}, 0.5),
    (er.Counts(0, 0), "concentration1", {"mean": 0.25}, None),
    (er.Counts(0, 0), "mean", {"concentration": 4.0}, 0.5),
    (er.Counts(0, 0), "concentration1", {"concentration": 4.0}, 2.0),
    (er.Counts([0, 0], 5), "concentration1", {"concentration": 4.0}, 0.0),
    (er.Counts([0, 0], 5), "concentration0", {"concentration": 4.0}, 4.0 * (1 - 1e-12)),
    (er.Counts([5, 5], 5), "concentration1", {"concentration": 4.0}, 4.0 * (1 - 1e-12)),
    (er.Counts([5, 5], 5), "concentration0", {"concentration": 4.0}, 0.0),
]


@pytest.mark.parametrize(("counts", "parameter", "fixed", "value"), HIGHEST)
def test_where_the_evidence_is_highest(counts, parameter, fixed, value):
    """At the maximum, in the limit, or at some prior where any will do."""
    held = next(iter(fixed.items()), None)
    best = solve(counts, held).candidates[0]
    found = ProfileLikelihood(counts, parameter, fixed)._highest(best)
    if value is None:
        prior = best.prior or er.Beta(0.25 * 0.5, 0.75 * 0.5)
        value = found if best.prior is None else float(prior.mean)
        assert found > 0
    assert found == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("parameter", ["mean", "concentration", "concentration0"])
def test_at_an_end_the_height_has_fallen_by_half_a_quantile(parameter, level):
    """Of chi-square with one degree of freedom; and inside it has not."""
    maximum = er.maximize_evidence(COUNTS)
    region = maximum.confidence_interval(parameter, level=level)
    wanted = maximum.log_evidence - stats.chi2.ppf(level, 1) / 2
    for end in region:
        assert maximum.profile(parameter, end) == pytest.approx(wanted, abs=1e-9)
    middle = (region.lower + region.upper) / 2
    assert maximum.profile(parameter, middle) > wanted
    assert region.proven and (region.method, region.level) == ("profile", level)


def test_one_part_of_the_priors_is_all_of_the_line():
    """Of one maximum: from 0 to infinity, with a prior above the threshold."""
    maximum = er.maximize_evidence(COUNTS)
    ((part,), proven) = connected_parts(COUNTS, None, maximum.log_evidence - 2)
    assert proven and (part.low, part.high) == (0.0, np.inf)
    assert er.log_evidence(part.prior, COUNTS) >= maximum.log_evidence - 2
    assert connected_parts(COUNTS, None, maximum.log_evidence + 1) == ([], True)
    limit = er.Counts([5, 5, 5], 10)
    ((part,), proven) = connected_parts(limit, None, solve(limit).candidates[0].log_evidence - 1)
    assert proven and (part.low, part.high) == (0.0, np.inf)


def test_a_function_that_only_touches_zero_does_not_change_sign():
    """At the end of a range, and a little beyond what is expected."""
    assert _crossing(lambda x: 1.0 - x, lambda *_: None, 0.0, 1.0) is None
    assert _crossing(lambda x: 1.0 - x, lambda *_: None, 0.0, 1.001) == pytest.approx(1.0)
    near = lambda *_: (1.0, 0.1)  # noqa: E731
    assert _crossing(lambda x: max(1.0 - x, 0.0), near, 0.0, 5.0) is None
    assert _crossing(lambda x: max(1.0 - x, -1e-9), near, 0.0, 5.0) == 1.0


def test_no_gap_is_looked_for_below_thirteen_digits_of_one():
    """Also where the starts change at zero, near which no width is small beside the place."""
    seen = []
    assert (
        _gap(lambda x: seen.append(x) or 1.0, lambda x: -1.0 if x < 0 else 2.0, -1.0, 2.0) is None
    )
    assert len(seen) == 45  # 3/2^45 < 1e-13
