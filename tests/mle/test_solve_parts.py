"""The parts of `mle.solve` on profiles made up: what is reached, compared, and looked at closer."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.mle import profile_likelihood, solve as module
from elbo_ref.mle.branch_and_bound import BUDGET, SCREENING, Component, Peak, SearchResult
from elbo_ref.mle.candidates import Candidate
from elbo_ref.mle.factorial_sums import FactorialSums
from elbo_ref.mle.lines import Concentration0Profile, ConcentrationProfile, GammaProfile
from elbo_ref.mle.near_binomial import MANY, NearBinomialProfile
from elbo_ref.mle.newton import LogitMeanLogConcentration, RefinedMaximum
from elbo_ref.mle.profile import Points
from elbo_ref.mle.solve import (
    Anchored,
    Problem,
    _compared,
    _distinct,
    _near,
    _Reached,
    _searched,
    _top_of,
    _vague,
    solve,
)

ROUNDING = 4e-15


def at(s):
    """A prior of this concentration."""
    return er.Beta(s / 4, 3 * s / 4)


class Made:
    """A profile over a + b whose maximum is refined to what is given."""

    sign_at_0 = None
    grid = np.array([1.0, 10.0])

    def __init__(self, *refined, slope=0.0, noise=1e-3, sign=None):
        self.answers, self.slope, self.noise, self.sign_at_0 = [*refined], slope, noise, sign
        self.starts = []

    def prior(self, x):
        return at(x)

    def x_of(self, prior):
        return float(sum(prior.arrays()))

    def along(self, x):
        return x

    def slope_in_v(self, x, slope):
        return x * slope

    def points(self, x):
        one = np.ones(x.size)
        slope = self.slope if np.ndim(self.slope) == 0 and not callable(self.slope) else None
        slope = one * slope if slope is not None else self.slope(x)
        return Points(x, -((x - 3) ** 2), 0 * one, slope, self.noise * one)

    def refined(self, prior):
        self.starts.append(self.x_of(prior))
        s, error = self.answers[min(len(self.starts), len(self.answers)) - 1]
        return RefinedMaximum(at(s), error, None)


def problem(profiles=(), large=False, closer=None, height=lambda s: -10 - (s - 3) ** 2):
    return SimpleNamespace(
        large=large,
        profiles=lambda: iter(profiles),
        closer=closer,
        limit=Candidate("binomial", -11.0, 0.25, np.inf, None),
        log_evidence=lambda prior: height(float(sum(prior.arrays()))),
    )


@pytest.mark.parametrize(
    ("answer", "found"),
    [((3.0, 1e-12), 3.0), ((2.4, 1e-12), 2.5), ((9.0, 1e-12), 2.5), ((3.0, np.inf), 2.5)],
)
def test_a_maximum_near_a_point_or_the_point(answer, found):
    """The refined one, if there is one and it is not lower."""
    profile = Made(answer)
    candidate = _near(problem(), profile, 2.5)
    assert candidate.concentration == found and profile.starts == [2.5]
    assert candidate.relative_error == (1e-12 if found == 3.0 else np.inf)


@pytest.mark.parametrize(("roundings", "kept"), [(0.5, True), (2.0, False)])
def test_a_refined_maximum_may_be_lower_by_rounding(roundings, kept):
    def height(s):
        return -10 - (s == 3.0) * roundings * ROUNDING * 10

    candidate = _near(problem(height=height), Made((3.0, 1e-12)), 2.5)
    assert (candidate.concentration == 3.0) is kept


def test_how_much_higher_it_may_be_beside_a_candidate():
    """e^2/(2 c), with the slope and its noise in v."""
    profile = Made((3.0, 1e-12), slope=-2e-3, noise=1e-3)
    found = _top_of(problem(), profile, Peak(2.0, 4.0, 2.9, -0.5))
    assert found.candidate.concentration == 3.0 and found.candidate.log_evidence == -10.0
    assert found.slack == pytest.approx((3 * 3e-3) ** 2 / (2 * 0.5)) and profile.starts == [2.9]
    assert found.candidate.prior.arrays() == at(3.0).arrays()


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ((4.0 * (1 + 0.9e-9), 1e-12), False), ((4.0 * (1 + 1.2e-9), 1e-12), True),
        ((2.0 * (1 - 0.9e-9), 1e-12), False), ((2.0 * (1 - 1.2e-9), 1e-12), True),
        ((3.0, np.inf), True), ((0.1, 1e-12), True),
    ],
)  # fmt: skip
def test_a_maximum_outside_its_interval_is_sought_from_the_zero_of_the_slope(first, again):
    profile = Made(first, (3.0, 1e-12), slope=lambda x: 3.2 - x)
    found = _top_of(problem(), profile, Peak(2.0, 4.0, 2.9, -0.5))
    if again:
        assert profile.starts == [2.9, pytest.approx(3.2)]
        assert found.candidate.concentration == pytest.approx(3.0)
    else:
        assert profile.starts == [2.9]


@pytest.mark.parametrize(("slope", "start"), [(1.0, 2.9), (-1.0, 2.9)])
def test_a_slope_of_one_sign_has_no_zero(slope, start):
    """Then it is sought from where the lines cross; an interval from 0 begins far below its end."""
    profile = Made((9.0, 1e-12), (3.0, 1e-12), slope=slope)
    _top_of(problem(), profile, Peak(2.0, 4.0, 2.9, -0.5))
    assert profile.starts == [2.9, start]
    asked = []
    profile = Made((9.0, 1e-12), (3.0, 1e-12), slope=lambda x: asked.append(x[0]) or 3.2 - x)
    _top_of(problem(), profile, Peak(0.0, 4.0, 2.9, -0.5))
    assert asked[0] == 4e-30


def reached(height, s=None, error=1e-12, slack=0.0):
    if s is None:
        return _Reached(Candidate("binomial", height, 0.25, np.inf, None), slack)
    return _Reached(Candidate("interior", height, 0.25, s, at(s), error), slack)


def test_what_has_been_reached_twice_is_one():
    """Concentrations that agree to a millionth; limits are kept, and the highest goes first."""
    rows = [
        reached(-12.0, 5.0), reached(-11.0), reached(-10.0, 3.0),
        reached(-10.5, 3.0 * (1 + 0.9e-6)), reached(-10.2, 3.0 * (1 + 1.2e-6)), reached(-11.5),
    ]  # fmt: skip
    found = [x.candidate.log_evidence for x in _distinct(rows)]
    assert found == [-10.0, -10.2, -11.0, -11.5, -12.0]


def test_what_cannot_be_told_from_the_highest():
    """Within rounding of both, or of what may be above it; a limit goes first."""
    top, room = reached(-10.0, 3.0), ROUNDING * 10
    proof = _compared([top, reached(-10.0 - 3 * room, 5.0)], -np.inf)
    assert (len(proof.candidates), proof.decided) == (1, True)
    assert proof.lower == -10.0 - room and proof.upper == -10.0 + room
    for low, close in ((1.9, 2), (2.1, 1)):
        proof = _compared([top, reached(-10.0 - low * room)], -np.inf)
        assert len(proof.candidates) == close and proof.decided is (close == 1)
        assert proof.candidates[0].kind == ("binomial" if close == 2 else "interior")
    slack = _compared([top, reached(-10.5, 5.0, slack=0.75)], -np.inf)
    assert len(slack.candidates) == 2 and slack.upper == pytest.approx(-9.75)
    assert not _compared([reached(-10.0, 3.0, np.inf)], -np.inf).decided
    left = _compared([top], -12.0)
    assert not left.decided and left.upper == -10.0 + room
    above = _compared([top], -9.0)
    assert above.upper == -9.0 + room and not above.decided
    assert above.method == "branch_and_bound"


@pytest.mark.parametrize(("noise", "vague"), [(2.9e-9 * 0.5, False), (3.1e-9 * 0.5, True)])
def test_a_peak_is_vague_where_its_place_is(noise, vague):
    """Rounding of the slope over the curvature, beside a 1e-9 part of its place."""
    assert _vague(Made(noise=noise), Peak(2.0, 4.0, 3.0, -0.5)) is vague


def searched(monkeypatch, results, *profiles, large=False, closer=None, height=None):
    """Search these profiles, and find these."""
    calls, left = [], [*results]

    def search(profile, best, budget=BUDGET):
        calls.append((profile, best, budget))
        return left.pop(0)

    monkeypatch.setattr(module, "search", search)
    anchored = [Anchored(x, 0.5, (1.0, -20.0)) for x in profiles]
    for x in profiles:
        x.anchor = (1.0, -20.0)
    given = {} if height is None else {"height": height}
    made = problem(anchored, large=large, closer=closer, **given)
    return _searched(made), calls


def found(peaks=(), unresolved=(), ceiling=-np.inf, best=-12.0, at=None, intervals=7):
    return SearchResult([*peaks], [*unresolved], ceiling, best, at, intervals)


PEAK = Peak(2.0, 4.0, 2.9, -0.5)


@pytest.mark.parametrize(
    ("seen", "start"), [(3.5, 3.5), (2.0, 2.0), (4.0, 4.0), (4.5, 3.0), (None, 3.0)]
)
def test_what_is_left_over_is_looked_at_from_its_best_point(monkeypatch, seen, start):
    """Or from its middle, where the best was seen elsewhere."""
    profile = Made((3.0, np.inf))
    proof, _ = searched(
        monkeypatch, [found(unresolved=[(2.0, 4.0)], ceiling=-9.0, at=seen)], profile
    )
    starts = [start] if seen is None else [start, seen]
    assert profile.starts == starts and not proof.decided
    assert (proof.intervals, proof.left_over) == (7, 1)
    assert proof.upper == pytest.approx(-8.5), "the ceiling and the doubt of the heights"


def test_the_highest_point_is_looked_at_where_nothing_else_is(monkeypatch):
    for result, count in (
        (found(peaks=[PEAK], at=3.5), 1), (found(at=3.5), 1),
        (found(peaks=[PEAK], unresolved=[(6.0, 7.0)], at=3.5), 3),
    ):  # fmt: skip
        profile = Made((3.0, 1e-12))
        proof, _ = searched(monkeypatch, [result], profile)
        assert len(profile.starts) == count
        assert proof.candidates[0].concentration == 3.0


@pytest.mark.parametrize(("sign", "counted"), [(1, False), (0, True), (-1, True), (None, False)])
def test_the_limit_is_a_candidate_unless_the_slope_rises(monkeypatch, sign, counted):
    """With a height of -11, above an interior maximum of -12."""
    profile = Made((3.0, 1e-12), sign=sign)
    proof, calls = searched(
        monkeypatch, [found(peaks=[PEAK])], profile, height=lambda s: -12 - (s - 3) ** 2
    )
    assert proof.candidates[0].kind == ("binomial" if counted else "interior")
    assert calls[0][1] == pytest.approx(-21.0 if sign is None else -11.5, abs=1e-12)
    assert calls[0][2] == BUDGET


def test_intervals_and_what_is_left_are_added_up(monkeypatch):
    """The best height of one profile is what the next is searched with."""
    first, second = Made((3.0, 1e-12)), Made((6.0, 1e-12))
    results = [
        found(peaks=[PEAK], unresolved=[(5.0, 6.0)], best=-11.0, at=3.5),
        found(unresolved=[(7.0, 8.0), (9.0, 9.5)], best=-10.9, intervals=5),
    ]
    proof, calls = searched(monkeypatch, results, first, second)
    assert (proof.intervals, proof.left_over) == (12, 3)
    assert [x[1] for x in calls] == [-20.5 - 0.5, -11.5 - 0.5]


@pytest.mark.parametrize("vague", [False, True])
def test_large_counts_are_looked_at_closer_where_something_is_open(monkeypatch, vague):
    """What is left over, and peaks whose place rounding blurs; the others stay."""
    first = Made((3.0, 1e-12), noise=1.0 if vague else 0.0)
    near, asked = Made((3.5, 1e-12)), []

    def closer(profile, low, high):
        asked.append((profile, low, high))
        yield Anchored(near, 0.125, (0.0, -11.0))

    results = [found(peaks=[PEAK], best=-11.0), found(peaks=[PEAK], intervals=4)]
    proof, calls = searched(monkeypatch, results, first, large=True, closer=closer)
    assert [x[2] for x in calls] == [SCREENING, BUDGET][: 1 + vague]
    assert asked == ([(first, 2.0, 4.0)] if vague else [])
    assert proof.intervals == (11 if vague else 7)
    assert len(first.starts) == (0 if vague else 1) and len(near.starts) == vague
    if vague:
        assert calls[1][1] == -11.5 - 0.125
    small, _ = searched(monkeypatch, [found(peaks=[PEAK])], Made((3.0, 1e-12), noise=1.0))
    assert small.intervals == 7


def test_what_is_open_is_one_range(monkeypatch):
    """From the least to the greatest concentration of what is left and of what is vague."""
    first, asked = Made((3.0, 1e-12), noise=1.0), []

    def closer(profile, low, high):
        asked.append((low, high))
        return iter(())

    result = found(peaks=[PEAK], unresolved=[(6.0, 7.0)], ceiling=5.0, at=6.5)
    second = found(peaks=[PEAK])
    proof, _ = searched(
        monkeypatch, [result, second], first, Made((3.0, 1e-12), noise=0.0), large=True,
        closer=closer,
    )  # fmt: skip
    assert asked == [(2.0, 7.0)] and first.starts == []
    assert proof.decided and proof.left_over == 0, "what is looked at closer is open no more"


# -- problems --------------------------------------------------------------------------------------

COUNTS = er.Counts([3, 9, 1, 5], [10, 10, 10, 12])


@pytest.mark.parametrize("held", [None, ("mean", 0.25)])
@pytest.mark.parametrize(
    ("low", "high", "kinds"),
    [
        (10.0, np.inf, ["near", "inner"]), (100.0, np.inf, ["near"]), (200.0, 400.0, ["near"]),
        (10.0, 100.0, ["inner"]), (10.0, 50.0, ["inner"]), (50.0, 150.0, ["near", "inner"]),
    ],
)  # fmt: skip
def test_a_closer_look_changes_ways_where_concentrations_are_large(
    monkeypatch, held, low, high, kinds
):
    """At 100, say: latents one by one above, the profile itself below, each with its own anchor."""
    asked = []
    monkeypatch.setattr(module, "large_from", lambda _, mean: asked.append(mean) or 100.0)
    made = Problem.of(COUNTS, held)
    first = next(iter(made.profiles())).profile
    parts = [*made.closer(first, low, high)]
    assert asked == [None if held is None else 0.25]
    found = ["near" if isinstance(x.profile, NearBinomialProfile) else "inner" for x in parts]
    assert found == kinds
    for (profile, doubt, (x, height)), kind in zip(parts, kinds, strict=True):
        near = kind == "near"
        ends = (max(low, 100.0), high) if near else (low, min(high, 100.0))
        np.testing.assert_allclose(profile.grid[[0, -1]], [1 / ends[1], 1 / ends[0]], rtol=1e-12)
        assert x == 1 / ends[1] and profile.anchor == (x, height)
        wanted = made.limit.log_evidence
        if np.isfinite(ends[1]):
            wanted = made.log_evidence(profile.prior(1 / ends[1]))
        assert height == wanted and doubt == pytest.approx(ROUNDING * abs(height), abs=0.0)
        if not near:
            inside = [y for y in first.grid if 1 / ends[1] < y < 1 / ends[0]]
            assert profile.grid.tolist()[1:-1] == inside


@pytest.mark.parametrize(
    ("held", "kinds"),
    [
        (None, (GammaProfile, ConcentrationProfile)),
        (("mean", 0.25), (GammaProfile, ConcentrationProfile)),
        (("concentration1", 2.0), (Concentration0Profile,)),
    ],
)
def test_profiles_begin_where_a_height_is_known(held, kinds):
    """At the limit, and where the one before ends; each is anchored at its highest grid point."""
    made = Problem.of(COUNTS, held)
    profiles = [*made.profiles()]
    assert tuple(type(x.profile) for x in profiles) == kinds
    if len(kinds) == 2:
        assert profiles[0].start == (0.0, made.limit.log_evidence)
        end = profiles[0].profile.grid[-1]
        assert profiles[1].start[0] == 1 / end
        assert profiles[1].start[1] == made.log_evidence(profiles[0].profile.prior(end))
    for profile, doubt, start in profiles:
        x, height = profile.anchor
        points = profile.anchored(*start).points(profile.grid)
        assert x == points.x[np.argmax(points.height)]
        if x != start[0]:
            assert height == made.log_evidence(profile.prior(x))
        assert doubt == ROUNDING * abs(height)


@pytest.mark.parametrize("held", [None, ("mean", 0.25), ("concentration1", 2.0)])
def test_counts_are_large_from_three_hundred_thousand(held):
    for k, f, large in ((MANY, MANY, True), (MANY - 1, MANY, False), (MANY, MANY - 1, False)):
        made = Problem.of(er.Counts([k, 0], [k + f, 1]), held)
        assert made.large is (large and (held is None or held[0] == "mean"))


@pytest.mark.parametrize(
    ("k", "n", "mean"), [([1], [1], 1.0), ([1, 0], [1, 0], 1.0), ([0], [1], 0.0), ([2], [2], 1.0)]
)
def test_one_outcome_alone_is_degenerate(k, n, mean):
    (found,) = solve(er.Counts(k, n), ("concentration", 2.0)).candidates
    assert (found.kind, found.mean, found.concentration) == ("degenerate", mean, 2.0)


def test_outcomes_are_exchanged_where_that_leaves_fewer_cases():
    """More successes than failures, a mean above one half, or concentration0."""
    less, more = er.Counts([3, 4], 10), er.Counts([7, 6], 10)
    for counts, held, mirrored, kept in (
        (less, None, False, None), (more, None, True, None),
        (er.Counts([5, 5], 10), None, False, None),
        (more, ("mean", 0.5), False, ("mean", 0.5)), (less, ("mean", 0.75), True, ("mean", 0.75)),
        (more, ("concentration", 2.0), False, ("concentration", 2.0)),
        (less, ("concentration0", 2.0), True, ("concentration1", 2.0)),
        (more, ("concentration1", 2.0), False, ("concentration1", 2.0)),
    ):  # fmt: skip
        made = Problem.of(counts, held)
        assert (made.mirrored, made.held) == (mirrored, kept)
        k = counts.failures if mirrored else counts.successes
        assert made.totals == (k.sum(), 20 - k.sum())
    assert Problem.of(less, ("mean", 0.75)).mean == 0.25
    assert Problem.of(more, ("mean", 0.25)).mean == 0.25


def test_latents_that_say_nothing_are_dropped():
    made = Problem.of(er.Counts([0, 3, 3, 2], [0, 10, 10, 4], [5, 2, 1, 0]), None)
    assert made.counts == er.Counts([3], [10], [3]) and made.totals == (9, 21)
    assert Problem.of(er.Counts([0], [0]), None).counts == er.Counts(0, 0)


# -- parts of the priors above a threshold ---------------------------------------------------------


@pytest.mark.parametrize(("proven", "large"), [(True, True), (False, False), (False, True)])
def test_only_large_counts_are_looked_at_closer(monkeypatch, proven, large):
    """Where rounding leaves a doubt, over all of the profile's range."""
    profile, near, calls = Made((3.0, 1e-12)), Made((3.0, 1e-12)), []

    def superlevel_set(which, level, budget=BUDGET):
        calls.append((which, level, budget))
        return [Component(2.0, 4.0, 3.0)], proven or which is near

    def closer(which, low, high):
        assert (which, low, high) == (profile, 1.0, 10.0)
        yield Anchored(near, 0.0, (0.5, -12.0))

    monkeypatch.setattr(profile_likelihood, "superlevel_set", superlevel_set)
    made = problem([Anchored(profile, 0.0, (0.25, -11.0))], large=large, closer=closer)
    ((which, start, parts, sure),) = profile_likelihood._superlevel_sets(made, -13.0)
    again = large and not proven
    assert which is (near if again else profile) and start == (
        (0.5, -12.0) if again else (0.25, -11.0)
    )
    assert parts == [Component(2.0, 4.0, 3.0)] and sure is (proven or again)
    budgets = [SCREENING if large else BUDGET, BUDGET]
    assert (
        calls == [(x, -13.0, b) for x, b in zip((profile, near), budgets, strict=True)][: 1 + again]
    )


@pytest.mark.parametrize("s", [0.5, 30.0])
def test_the_error_at_a_given_concentration_is_that_of_the_slope(s):
    """Its rounding over the curvature, and four roundings of the prior."""
    (found,) = solve(COUNTS, ("concentration", s)).candidates
    a, b = map(float, found.prior.arrays())
    sums = FactorialSums.of(COUNTS)
    _, information, noise = LogitMeanLogConcentration(a, b, sums).derivatives()
    variance = 1 / information[0, 0]
    assert found.relative_error == pytest.approx(
        noise[0] * variance + 4 * 2.0**-52, rel=1e-6, abs=0.0
    )
    assert found.covariance == (pytest.approx(variance, rel=1e-6), 0.0, 0.0)
