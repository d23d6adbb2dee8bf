"""`elbo_ref.mle.result`: the six kinds of supremum, and the values there.

Two independent witnesses: the closed form for N = 2 (E11), and the bundled data's maximisers from
mpmath; test_solve.py has the third, a dense grid of scipy's betabinom, which may never be higher.
The constructed cases have suprema that are written down beside them.
"""

import json

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from scipy import stats

import elbo_ref as er
from elbo_ref.mle.binomial import pooled_log_likelihood, pooled_mean
from elbo_ref.mle.intervals import PARAMETERS, parameter_of
from elbo_ref.mle.result import EvidenceMaximum, maximize_evidence
from kinds import KINDS
from places import REFERENCE
from tiers import few

DATASETS = json.loads((REFERENCE / "datasets.json").read_text("utf-8"))
ATTAINED = ("interior", "unidentified", "no_information")


def binomial(successes, trials):
    """The binomial log likelihood at K/N of one row, with Python's own logarithms."""
    with mpmath.workdps(50):
        k, n = mpmath.mpf(int(successes)), mpmath.mpf(int(trials))
        value = mpmath.log(mpmath.binomial(n, k))
        for part in (k, n - k):
            value += part * mpmath.log(part / n) if part else 0
        return float(value)


def interior(counts):
    """The supremum of counts that must have a maximiser."""
    found = maximize_evidence(counts)
    assert found.kind == "interior", (counts, found)
    return found


def concentrations(found):
    return found.prior.concentration1, found.prior.concentration0


def check_shape(found):
    """Check what holds of every answer."""
    assert isinstance(found, EvidenceMaximum)
    assert found.attained == (found.kind in ATTAINED)
    assert (found.prior is not None) == (found.kind == "interior")
    assert found.log_evidence <= 0


# -- the kinds ---------------------------------------------------------------------------------

CONSTRUCTED = [
    # kind, successes, total_count, multiplicity, supremum, mean, concentration
    ("no_information", [0], [0], None, 0.0, None, None),
    ("no_information", [0, 0], [0, 0], [3, 2], 0.0, None, None),
    ("no_information", [3, 0], [7, 0], [0, 5], 0.0, None, None),
    ("degenerate", [0], [5000], None, 0.0, 0.0, None),
    ("degenerate", [0, 0], [1, 9], [4, 1], 0.0, 0.0, None),
    ("degenerate", [7], [7], None, 0.0, 1.0, None),
    ("degenerate", [1, 1, 9], [1, 1, 9], None, 0.0, 1.0, None),
    ("unidentified", [1, 0, 1], [1, 1, 1], None, 2 * np.log(2 / 3) + np.log(1 / 3), 2 / 3, None),
    ("unidentified", [1, 0], [1, 1], [1, 3], np.log(1 / 4) + 3 * np.log(3 / 4), 1 / 4, None),
    ("all_or_none", [0, 2], [2, 2], None, 2 * np.log(1 / 2), 1 / 2, 0.0),
    ("all_or_none", [0, 2, 5], [2, 2, 5], None, np.log(1 / 3) + 2 * np.log(2 / 3), 2 / 3, 0.0),
    ("all_or_none", [0, 6], [1, 6], [3, 1], np.log(1 / 4) + 3 * np.log(3 / 4), 1 / 4, 0.0),
    ("all_or_none", [0, 1, 4], [1, 1, 4], None, np.log(1 / 3) + 2 * np.log(2 / 3), 2 / 3, 0.0),
    ("binomial", [3], [10], None, binomial(3, 10), 3 / 10, np.inf),
    ("binomial", [1], [2], None, np.log(1 / 2), 1 / 2, np.inf),
    ("binomial", [0, 1, 2], [2, 2, 2], [1, 2, 1], 6 * np.log(1 / 2), 1 / 2, np.inf),
    ("binomial", [0, 1, 2], [2, 2, 2], [10, 20, 10], 60 * np.log(1 / 2), 1 / 2, np.inf),
    ("binomial", [5, 5, 5], [10, 10, 10], None, 3 * binomial(5, 10), 1 / 2, np.inf),
    ("interior", [0, 1, 2], [2, 2, 2], [40, 30, 50], None, 130 / 240, 72 / 71),
]


@pytest.mark.parametrize(("kind", "k", "n", "w", "height", "mean", "concentration"), CONSTRUCTED)
def test_constructed(kind, k, n, w, height, mean, concentration):
    found = maximize_evidence(er.Counts(k, n, multiplicity=w))
    check_shape(found)
    assert found.kind == kind
    if height is not None:
        np.testing.assert_allclose(found.log_evidence, height, rtol=1e-13, atol=1e-13)
    for got, wanted in ((found.mean, mean), (found.concentration, concentration)):
        assert (got is None) == (wanted is None), found
        if wanted is not None:
            np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_shared_rows_keep_their_coefficients():
    """One latent never has an interior maximiser (E9); rows n = 1 have no coefficient at all."""
    found = maximize_evidence(er.datasets.load("coin"))
    assert (found.kind, found.mean, found.concentration) == ("binomial", 0.6, np.inf)
    np.testing.assert_allclose(found.log_evidence, 6 * np.log(0.6) + 4 * np.log(0.4), rtol=1e-14)
    grouped = er.Counts.grouped([1, 2, 0, 3], [2, 4, 3, 3], ["a", "a", "b", "c"])
    plain = er.Counts([3, 0, 3], [6, 3, 3])
    split = np.log(2.0) + np.log(6.0) - np.log(20.0)
    one, other = interior(grouped), interior(plain)
    np.testing.assert_allclose(one.log_evidence, other.log_evidence + split, rtol=1e-13)
    np.testing.assert_allclose(concentrations(one), concentrations(other), rtol=1e-9)


@settings(max_examples=25)
@given(trials=st.integers(2, 10**6), data=st.data())
def test_one_latent_is_never_interior(trials, data):
    """(E9)"""
    found = maximize_evidence(er.Counts(data.draw(st.integers(1, trials - 1)), trials))
    check_shape(found)
    assert (found.kind, found.concentration) == ("binomial", np.inf)


# -- the limits are limits -----------------------------------------------------------------------


@pytest.mark.parametrize("case", [row for row in CONSTRUCTED if row[0] not in ATTAINED])
def test_a_supremum_that_is_not_attained_is_approached(case):
    """Along the limit that is named, the evidence rises to the supremum and stays below it."""
    kind, k, n, w, *_ = case
    counts = er.Counts(k, n, multiplicity=w)
    found = maximize_evidence(counts)
    missing = []
    for small in (1e-2, 1e-4, 1e-6):
        match kind:
            case "degenerate":
                mean, size = (small, 1.0) if found.mean == 0.0 else (1 - small, 1.0)
            case "all_or_none":
                mean, size = found.mean, small
            case "binomial":
                mean, size = found.mean, 1 / small
        prior = er.Beta(size * mean, size * (1 - mean))
        missing.append(found.log_evidence - er.log_evidence(prior, counts))
    assert missing[0] > missing[1] > missing[2] > 0, missing
    assert missing[2] < 1e-3 * counts.num_latents, missing


def test_unidentified_is_attained_by_every_concentration():
    counts = er.Counts([1, 0, 1], 1)
    found = maximize_evidence(counts)
    for size in (1e-3, 1.0, 1e6):
        prior = er.Beta(size * 2 / 3, size / 3)
        np.testing.assert_allclose(er.log_evidence(prior, counts), found.log_evidence, atol=1e-12)


# -- closed form for N = 2 (E11) ---------------------------------------------------------------


def closed_form(n0, n1, n2):
    """(E11) in whole numbers: mean, and rho as numerator over denominator."""
    total, ones = n0 + n1 + n2, n1 + 2 * n2
    denominator = ones * (2 * total - ones)
    return ones / (2 * total), denominator - 2 * total * n1, denominator


NUMBERS = st.integers(0, 60)


@pytest.mark.thorough
@settings(max_examples=25)
@given(n0=NUMBERS, n1=NUMBERS, n2=NUMBERS)
@example(40, 30, 50)
@example(1, 2, 1)
@example(4, 4, 1)
@example(0, 1, 1)
@example(0, 3, 0)
@example(3, 0, 4)
@example(1, 1, 1)
@example(60, 1, 60)
@example(60, 1, 0)
@example(59, 59, 15)
def test_two_trials(n0, n1, n2):
    found = maximize_evidence(er.Counts([0, 1, 2], 2, multiplicity=[n0, n1, n2]))
    check_shape(found)
    latents = n0 + n1 + n2
    mean_, rho_of, over = closed_form(n0, n1, n2) if latents else (None, None, None)
    if latents == 0:
        assert found.kind == "no_information"
    elif mean_ in (0, 1):
        assert (found.kind, found.mean, found.log_evidence) == ("degenerate", mean_, 0.0)
    elif n1 == 0:
        assert (found.kind, found.concentration) == ("all_or_none", 0.0)
        assert found.mean == n2 / latents
    elif rho_of <= 0:
        assert (found.kind, found.concentration) == ("binomial", np.inf)
        np.testing.assert_allclose(found.mean, mean_, rtol=1e-14)
        np.testing.assert_allclose(
            found.log_evidence,
            n1 * np.log(2) + (n1 + 2 * n2) * np.log(mean_) + (n1 + 2 * n0) * np.log1p(-mean_),
            rtol=1e-12,
        )
    else:
        size = over / rho_of - 1
        assert found.kind == "interior"
        np.testing.assert_allclose(found.mean, mean_, rtol=1e-8)
        np.testing.assert_allclose(found.concentration, size, rtol=1e-6)
        rho = rho_of / over
        off = mean_ * (1 - mean_) * (1 - rho)
        chances = [(1 - mean_) - off, 2 * off, mean_ - off]
        seen = [(n, c) for n, c in zip((n0, n1, n2), chances, strict=True) if n]
        np.testing.assert_allclose(
            found.log_evidence, sum(n * np.log(c) for n, c in seen), rtol=1e-12
        )


def test_two_trials_as_printed():
    a, b = concentrations(interior(er.Counts([0, 1, 2], 2, multiplicity=[40, 30, 50])))
    np.testing.assert_allclose([a, b], [0.549296, 0.464789], atol=5e-7)


# -- large counts ------------------------------------------------------------------------------


@pytest.mark.parametrize("w", [10**6, 10**10, 10**15])
def test_many_latents(w):
    """Rounding of a large log evidence is not mistaken for an interior maximum, nor hides one."""
    found = maximize_evidence(er.Counts([0, 1, 2], 2, multiplicity=[w, 2 * w, w]))
    assert (found.kind, found.mean) == ("binomial", 0.5)
    np.testing.assert_allclose(found.log_evidence, 6 * w * np.log(1 / 2), rtol=1e-14)
    a, b = concentrations(interior(er.Counts([0, 1, 2], 2, multiplicity=[4 * w, 3 * w, 5 * w])))
    np.testing.assert_allclose([a, b], [39 / 71, 33 / 71], rtol=1e-9)


N = 10**18


@pytest.mark.parametrize("rare", [[1], [2], [1, 2], [3, 3, 3], [1, 10**6]])
def test_rare_events_of_many_trials(rare):
    """K or N - K beside N above 2**53: in the limit each latent is Poisson at the pooled rate."""
    rare = np.array(rare)
    height = stats.poisson.logpmf(rare, rare.mean()).sum()
    for k in (rare, N - rare):
        found = maximize_evidence(er.Counts(k, N))
        check_shape(found)
        if rare.max() > 3:
            assert found.kind == "interior"
            assert found.log_evidence > height
        else:
            assert (found.kind, found.concentration) == ("binomial", np.inf)
            np.testing.assert_allclose(found.log_evidence, height, rtol=1e-13)


# -- symmetries --------------------------------------------------------------------------------

OVERDISPERSED = [
    er.Counts([0, 1, 2], 2, multiplicity=[40, 30, 50]),
    er.Counts([0, 3, 9, 1, 10], [10, 10, 10, 4, 12]),
    er.Counts([1, 700, 30], [1000, 1000, 40]),
]


@pytest.mark.parametrize("counts", OVERDISPERSED)
def test_stationary(counts):
    """At an interior maximiser the gradient in log concentrations vanishes; around it, it falls."""
    found = interior(counts)
    x = np.array(concentrations(found))
    gradient = x * np.array(er.log_evidence_gradient(found.prior, counts))
    assert np.abs(gradient).max() < 1e-9 * counts.num_latents
    np.testing.assert_allclose(er.log_evidence(found.prior, counts), found.log_evidence, rtol=1e-14)
    for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False):
        near = x * np.exp(0.01 * np.array([np.cos(angle), np.sin(angle)]))
        assert er.log_evidence(er.Beta(*near), counts) < found.log_evidence


@pytest.mark.parametrize("counts", OVERDISPERSED)
def test_multiplicity_is_repetition(counts):
    """The same answer, to the sharpness of the maximum."""
    rows = (np.repeat(x, counts.multiplicity) for x in (counts.successes, counts.total_count))
    one, other = interior(counts), interior(er.Counts(*rows))
    np.testing.assert_allclose(one.log_evidence, other.log_evidence, rtol=1e-12)
    np.testing.assert_allclose(concentrations(one), concentrations(other), rtol=1e-8)


@pytest.mark.parametrize("counts", OVERDISPERSED)
def test_scaling_the_multiplicity(counts):
    """w times as many latents: the same prior, w times the log evidence."""
    more = er.Counts(counts.successes, counts.total_count, 1000 * counts.multiplicity)
    one, other = interior(counts), interior(more)
    np.testing.assert_allclose(1000 * one.log_evidence, other.log_evidence, rtol=1e-12)
    np.testing.assert_allclose(concentrations(one), concentrations(other), rtol=1e-8)


@pytest.mark.parametrize("counts", OVERDISPERSED)
def test_swapping_successes_and_failures(counts):
    swapped = er.Counts(counts.failures, counts.total_count, counts.multiplicity)
    one, other = interior(counts), interior(swapped)
    np.testing.assert_allclose(one.log_evidence, other.log_evidence, rtol=1e-13)
    np.testing.assert_allclose(concentrations(one), concentrations(other)[::-1], rtol=1e-8)


@pytest.mark.parametrize("case", CONSTRUCTED)
def test_swapping_mirrors_the_mean(case):
    _, k, n, w, *_ = case
    counts = er.Counts(k, n, multiplicity=w)
    one = maximize_evidence(counts)
    other = maximize_evidence(er.Counts(counts.failures, n, multiplicity=w))
    assert one.kind == other.kind
    np.testing.assert_allclose(one.log_evidence, other.log_evidence, rtol=1e-13)
    assert (one.mean is None) == (other.mean is None)
    if one.mean is not None:
        np.testing.assert_allclose(one.mean, 1 - other.mean, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("counts", OVERDISPERSED)
def test_what_says_nothing_is_dropped(counts):
    """Latents without trials, and entries that stand for no latent, in any order."""
    k = [0, *counts.successes[::-1], 7]
    n = [0, *counts.total_count[::-1], 9]
    w = [5, *counts.multiplicity[::-1], 0]
    one, other = interior(counts), interior(er.Counts(k, n, w))
    np.testing.assert_allclose(one.log_evidence, other.log_evidence, rtol=1e-13)
    np.testing.assert_allclose(concentrations(one), concentrations(other), rtol=1e-9)


@pytest.mark.parametrize("case", CONSTRUCTED)
def test_what_says_nothing_does_not_change_the_kind(case):
    kind, k, n, w, *_ = case
    w = [1] * len(k) if w is None else w
    padded = er.Counts([*k, 0, 2], [*n, 0, 3], multiplicity=[*w, 4, 0])
    assert maximize_evidence(padded).kind == kind


# -- bundled data ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", er.datasets.available())
def test_bundled_data(name):
    wanted = DATASETS[name]
    counts = er.datasets.load(name)
    found = maximize_evidence(counts)
    check_shape(found)
    np.testing.assert_allclose(found.log_evidence, float(wanted["log_evidence"]), rtol=1e-12)
    assert found.attained == wanted["attained"]
    if not found.attained:
        return
    want = [float(wanted[side]) for side in ("concentration1", "concentration0")]
    np.testing.assert_allclose(concentrations(found), want, rtol=1e-7)
    a, b = want
    np.testing.assert_allclose([found.mean, found.concentration], [a / (a + b), a + b], rtol=1e-7)


# -- the pooled binomial -----------------------------------------------------------------------


def test_pooled():
    counts = er.Counts([3, 1, 4], [10, 2, 4], multiplicity=[1, 2, 3])
    assert pooled_mean(counts) == 17 / 26
    rows = [(3, 10), (1, 2), (1, 2), (4, 4), (4, 4), (4, 4)]
    slow = sum(stats.binom.logpmf(k, n, 17 / 26) for k, n in rows)
    np.testing.assert_allclose(pooled_log_likelihood(counts), slow, rtol=1e-12)
    assert pooled_log_likelihood(er.Counts(0, 0)) == 0.0
    assert np.isnan(pooled_mean(er.Counts(0, 0)))


@pytest.mark.parametrize("counts", OVERDISPERSED)
def test_interior_beats_the_pooled_binomial(counts):
    assert interior(counts).log_evidence > pooled_log_likelihood(counts)


@pytest.mark.thorough
def test_no_standard_error_where_two_of_them_reach_0():
    """The summary then has profile intervals: 210.6 +- 1000 says nothing. Elsewhere errors."""
    maximum = er.maximize_evidence(er.datasets.load("batting"))
    lines = dict(x.split(": ", 1) for x in str(maximum).splitlines()[3:7])
    for name, error in maximum.standard_errors.items():
        wide = error > parameter_of(maximum.prior, name) / 2
        assert ("+-" in lines[name]) == (not wide)
        assert (maximum.confidence_interval(name).sentence in lines[name]) == wide
    assert maximum.rho == 1 / (1 + maximum.concentration)


@pytest.mark.parametrize("kind", few(["interior", *(x for x in KINDS if x != "interior")]))
def test_the_table_has_the_intervals_of_all_parameters(kind):
    """Profile ends and rho in table, CSV and frame; a standard error only where it says something.

    Two standard errors that reach 0 are none, as in the summary; what is in the table of the text
    is in the CSV.
    """
    maximum = er.maximize_evidence(KINDS[kind])
    rows = {row.parameter: row for row in maximum.table()}
    assert list(rows) == [*PARAMETERS, "rho"]
    for name, row in rows.items():
        if kind == "no_information":
            assert row.lower is row.upper is row.value is None
            continue
        assert (row.lower, row.upper) == tuple(maximum.confidence_interval(name))
        if row.value is not None:
            assert row.lower <= row.value <= row.upper
        assert row.standard_error is None or 0 < row.standard_error <= row.value / 2
    known = [name for name, row in rows.items() if row.standard_error is not None]
    lines = dict(x.split(": ", 1) for x in str(maximum).splitlines()[3:])
    assert known == [name for name in rows if "+-" in lines.get(name, "")]
    spread = [name for name in rows if "% profile" in lines.get(name, "")]
    assert set(known) | set(spread) >= {x for x, row in rows.items() if row.value is not None}
    assert maximum.to_csv().splitlines()[0] == "parameter,value,standard_error,lower,upper,held"


@pytest.mark.parametrize("method", ["profile", "wald"])
def test_intervals_of_rho(method):
    """Of the concentration's, since rho = 1/(1 + a + b): ends, and standard errors by the slope."""
    maximum = er.maximize_evidence(er.datasets.load("rat_tumors"))
    low, high = maximum.confidence_interval("concentration", method=method)
    found = maximum.confidence_interval("rho", method=method)
    assert found.parameter == "rho"
    if method == "profile":
        assert tuple(found) == (1 / (1 + high), 1 / (1 + low))
    else:
        half = (high - low) / 2 * maximum.rho**2
        np.testing.assert_allclose(tuple(found), (maximum.rho - half, maximum.rho + half))
    with pytest.raises(ValueError, match="held fixed"):
        er.maximize_evidence(maximum.counts, {"concentration": 3.0}).confidence_interval("rho")


# -- what follows from the numbers -----------------------------------------------------------------

SMALL = er.Counts([0, 3, 9, 1, 0], [10, 10, 10, 4, 0])


@pytest.mark.parametrize("fixed", [None, {"mean": 0.3}])
def test_criteria(fixed):
    """2 parameters, or 1; four latents have trials."""
    maximum = er.maximize_evidence(SMALL, fixed)
    free = 1 if fixed else 2
    assert maximum.num_parameters == free
    assert maximum.aic == 2 * free - 2 * maximum.log_evidence
    assert maximum.bic == pytest.approx(np.log(4) * free - 2 * maximum.log_evidence, rel=1e-14)
    nothing = er.maximize_evidence(er.Counts(0, 0))
    assert (nothing.bic, nothing.aic) == (0.0, 4.0)
    assert er.maximize_evidence(er.Counts(3, 5)).bic == pytest.approx(
        -2 * er.maximize_evidence(er.Counts(3, 5)).log_evidence
    )


@pytest.mark.parametrize(
    ("k", "n", "kind", "attained"),
    [
        ([0, 3, 9], 10, "interior", True), ([0, 1], 1, "unidentified", True),
        ([0], 0, "no_information", True), ([5, 5], 10, "binomial", False),
        ([0, 10], 10, "all_or_none", False), ([0, 0], 10, "degenerate", False),
    ],
)  # fmt: skip
def test_which_kinds_some_prior_attains(k, n, kind, attained):
    maximum = er.maximize_evidence(er.Counts(k, n))
    assert (maximum.kind, maximum.attained) == (kind, attained)
    assert (maximum.relative_error is None) == (maximum.prior is None)
    assert maximum.rho is None or maximum.rho == 1 / (1 + maximum.concentration)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_wald_intervals(level):
    """A normal quantile of standard errors to either side."""
    maximum = er.maximize_evidence(SMALL)
    for name in PARAMETERS:
        region = maximum.confidence_interval(name, method="wald", level=level)
        half = stats.norm.ppf((1 + level) / 2) * maximum.standard_errors[name]
        value = parameter_of(maximum.prior, name)
        np.testing.assert_allclose([*region], [value - half, value + half], rtol=1e-12)
        assert (region.method, region.level, region.proven) == ("wald", level, True)
    half = stats.norm.ppf((1 + level) / 2) * maximum.standard_errors["concentration"]
    low, high = maximum.confidence_interval("rho", method="wald", level=level)
    assert (low + high) / 2 == pytest.approx(maximum.rho)
    assert (high - low) / 2 == pytest.approx(half * maximum.rho**2, rel=1e-12)


def test_a_standard_error_of_what_is_held_is_zero():
    maximum = er.maximize_evidence(SMALL, {"concentration": 3.0})
    errors = maximum.standard_errors
    assert errors["concentration"] == 0.0 and errors["mean"] > 0
    assert "concentration" not in maximum.free_errors and "mean" in maximum.free_errors
    covariance = maximum.covariance
    both = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(both, [errors["concentration1"], errors["concentration0"]])
    np.testing.assert_allclose(covariance[0, 1], -both[0] * both[1], rtol=1e-12)


def test_heights_of_a_profile_and_what_is_held():
    maximum = er.maximize_evidence(SMALL)
    held = er.maximize_evidence(SMALL, {"mean": 0.25})
    assert maximum.profile("mean", 0.25) == held.log_evidence
    for call in (lambda: held.profile("mean", 0.3), lambda: held.confidence_interval("mean")):
        with pytest.raises(ValueError, match=r"parameter = 'mean' is held fixed at 0\.25"):
            call()
    with pytest.raises(ValueError, match="method = 'exact' must be 'wald' or 'profile'"):
        maximum.confidence_interval(method="exact")
    for level in (0.0, 1.0):
        with pytest.raises(ValueError, match="level"):
            maximum.confidence_interval(level=level)


def test_a_region_is_found_once():
    maximum = er.maximize_evidence(SMALL)
    first = maximum.confidence_interval("mean", level=0.9)
    assert maximum.confidence_interval("mean", level=0.9) is first
    assert maximum.confidence_interval("mean", level=0.8) is not first
    assert maximum.confidence_interval("concentration", level=0.9) is not first


def test_how_a_maximum_is_shown():
    text = repr(er.maximize_evidence(er.Counts([5, 5], 10)))
    assert text.startswith("EvidenceMaximum(kind='binomial', log_evidence=")
    assert text.endswith(", prior=None)") and "fixed" not in text
    assert repr(er.maximize_evidence(SMALL, {"mean": 0.25})).endswith(", fixed={'mean': 0.25})")
