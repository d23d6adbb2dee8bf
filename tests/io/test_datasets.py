"""The bundled data sets: their counts, their published values, and the evidence's maximum on each.

Reference values come from tests/reference/make_datasets.py (mpmath). A published value is given
here as the text that was printed, so that its last digit says how near it must be.
"""

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from scipy import optimize, special as sc

from elbo_ref import (
    Beta,
    Counts,
    log_evidence,
    log_evidence_gradient,
    log_evidence_hessian,
    posterior,
)
from elbo_ref.io.datasets import PublishedValue, available, describe, load
from places import REFERENCE
from tiers import few

MAXIMA = json.loads((REFERENCE / "datasets.json").read_text())
INTERIOR = [name for name, row in MAXIMA.items() if row["attained"]]
UNATTAINED = [name for name, row in MAXIMA.items() if not row["attained"]]


def half_a_digit(text):
    """Half a unit of the last digit printed, with room for the rounding of the comparison."""
    return 0.5000001 * 10.0 ** -len(text.partition(".")[2])


def agrees(value, text):
    """Whether `value` rounds to the printed text."""
    return abs(value - float(text)) <= half_a_digit(text)


def maximiser(name):
    row = MAXIMA[name]
    return Beta(float(row["concentration1"]), float(row["concentration0"]))


def maximum(name):
    return float(MAXIMA[name]["log_evidence"])


def pooled(counts):
    """All successes and all trials."""
    w = counts.multiplicity
    return int((w * counts.successes).sum()), int((w * counts.total_count).sum())


def log_binomial_likelihood(counts, c):
    """The limit of the evidence as the concentrations grow: every latent is c."""
    k, f = counts.successes, counts.failures
    terms = sc.xlogy(k, c) + sc.xlog1py(f, -c) + counts.log_coefficient
    return float((counts.multiplicity * terms).sum())


# --- the public face


def test_names():
    assert available() == tuple(MAXIMA)
    assert all(describe(name).name == name for name in available())
    assert all(describe(name).title and describe(name).source for name in available())
    assert set(UNATTAINED) == {"forum", "coin", "colds_father"}


@pytest.mark.parametrize("ask", [load, describe])
def test_an_unknown_name_is_answered_with_the_known_ones(ask):
    with pytest.raises(ValueError, match=r"name 'tumors' is not a data set.*saxony.*rat_tumors"):
        ask("tumors")


def test_nothing_can_be_changed():
    data = describe("forum")
    with pytest.raises(FrozenInstanceError):
        data.title = "another"
    with pytest.raises(TypeError):
        data.names["concentration0"] = "b0"
    with pytest.raises(ValueError, match="read-only"):
        load("forum").successes[0] = 1
    hash(data)


def test_only_the_forum_brings_a_run():
    runs = {name: describe(name).run for name in available() if describe(name).run}
    assert list(runs) == ["forum"]
    run = runs["forum"]
    assert len(run.losses.read_text().split()) == 100
    assert len(run.evaluations.read_text().split()) == 30


def test_only_the_forum_has_other_names():
    named = {name: dict(describe(name).names) for name in available() if describe(name).names}
    assert named == {"forum": {"concentration0": "a0", "concentration1": "b0"}}


# name: rows, latents, successes, trials
TOTALS = {
    "forum": (5000, 1, 0, 5000),
    "saxony": (13, 6115, 38100, 73380),
    "alcohol_week1": (8, 399, 1524, 2793),
    "alcohol_week2": (8, 399, 1517, 2793),
    "chromosome": (4, 337, 587, 1011),
    "orobanche": (16, 16, 435, 708),
    "orobanche_1": (6, 6, 34, 240),
    "orobanche_25": (5, 5, 198, 227),
    "orobanche_625": (5, 5, 203, 241),
    "rat_tumors": (71, 71, 267, 1739),
    "litters_control": (16, 16, 142, 158),
    "litters_treated": (16, 16, 112, 145),
    "batting": (18, 18, 215, 810),
    "colds_father": (5, 88, 39, 352),
    "coin": (10, 1, 6, 10),
}


@pytest.mark.parametrize("name", TOTALS)
def test_rows_and_sums(name):
    data, counts = describe(name), load(name)
    assert len(data.successes) == len(data.total_count)
    assert (len(data.successes), counts.num_latents, *pooled(counts)) == TOTALS[name]
    assert len(counts) == (1 if data.shared else len(data.successes))
    assert np.array_equal(counts.log_split, np.zeros(len(counts))) or data.shared


def test_sums_cover_every_set():
    assert tuple(TOTALS) == available()


def test_the_dilutions_are_the_parts_of_orobanche():
    parts = [describe(f"orobanche_{dilution}") for dilution in (1, 25, 625)]
    for column in ("successes", "total_count"):
        together = sum((getattr(part, column) for part in parts), ())
        assert together == getattr(describe("orobanche"), column)


# --- the maximum, against mpmath


@pytest.mark.parametrize("name", INTERIOR)
def test_evidence_at_the_reference_maximiser(name):
    """(E1)"""
    got, wanted = log_evidence(maximiser(name), load(name)), maximum(name)
    assert abs(got - wanted) <= 1e-12 * abs(wanted), (got, wanted)


@pytest.mark.parametrize("name", INTERIOR)
def test_gradient_vanishes_at_the_reference_maximiser(name):
    prior, counts = maximiser(name), load(name)
    a, b = prior.concentration1, prior.concentration0
    w, outcomes = counts.multiplicity, (counts.successes, counts.failures)
    gradient = log_evidence_gradient(prior, counts)
    for slope, x, added in zip(gradient, (a, b), outcomes, strict=True):
        size = float((w * (sc.digamma(x + added) - sc.digamma(x))).sum())
        assert abs(slope) <= 1e-13 * size, (slope, size)
    assert (np.linalg.eigvalsh(log_evidence_hessian(prior, counts)) < 0).all()


def newton(counts, start):
    """The maximiser of the evidence: Newton in the logs, with halved steps."""
    x = np.log([start.concentration1, start.concentration0])
    for _ in range(100):
        prior = Beta(*np.exp(x))
        scale = np.exp(x)
        gradient = scale * np.array(log_evidence_gradient(prior, counts))
        hessian = np.outer(scale, scale) * log_evidence_hessian(prior, counts) + np.diag(gradient)
        top = np.linalg.eigvalsh(hessian)[1]
        if top >= 0:
            hessian -= (top + np.abs(hessian).max()) * np.eye(2)
        step = -np.linalg.solve(hessian, gradient)
        if np.abs(step).max() < 1e-8:
            return Beta(*np.exp(x + step))
        step /= max(1.0, float(np.abs(step).max()))
        here = log_evidence(prior, counts)
        slack = 1e-12 * abs(here)
        while log_evidence(Beta(*np.exp(x + step)), counts) < here - slack:
            step /= 2
        x = x + step
    raise AssertionError(f"Newton's iteration has not ended from {start}: {np.exp(x)}")


def start_of(name):
    """The published estimate; without one, the pooled mean and a + b = 10."""
    for value in describe(name).published:
        if value.concentration1 is not None:
            return Beta(value.concentration1, value.concentration0)
    k, n = pooled(load(name))
    return Beta(10 * k / n, 10 * (n - k) / n)


@pytest.mark.parametrize("name", INTERIOR)
def test_newton_lands_on_the_reference(name):
    got, wanted = newton(load(name), start_of(name)), maximiser(name)
    for one, other in zip(got.arrays(), wanted.arrays(), strict=True):
        assert abs(one - other) <= 1e-9 * other, (got, wanted)


@pytest.mark.parametrize("name", INTERIOR)
def test_the_maximum_is_above_the_binomial(name):
    counts = load(name)
    k, n = pooled(counts)
    assert maximum(name) > log_binomial_likelihood(counts, k / n)


# --- no maximiser: a supremum


@pytest.mark.parametrize("name", few(UNATTAINED))
def test_supremum_is_the_pooled_binomial(name):
    """Approached as the concentrations grow, nothing above it: for one latent always (E9)."""
    counts, supremum = load(name), maximum(name)
    k, n = pooled(counts)
    assert log_binomial_likelihood(counts, k / n) == pytest.approx(supremum, rel=1e-13, abs=1e-13)
    for s in np.logspace(-3, 9, 25):
        for m in np.linspace(0.02, 0.98, 33):
            assert log_evidence(Beta(m * s, (1 - m) * s), counts) < supremum
    mean = k / n if k else 1e-12
    gaps = [
        supremum - log_evidence(Beta(mean * s, (1 - mean) * s), counts)
        for s in (1e2, 1e4, 1e6, 1e8)
    ]
    assert all(gap > 0 for gap in gaps)
    assert gaps[-1] < 1e-6
    assert k == 0 or gaps == sorted(gaps, reverse=True)


def test_colds_fall_away_from_the_binomial():
    """(E10): the slope at the binomial limit with respect to 1/(a + b); every N is 4."""
    counts = load("colds_father")
    k, f, n, w = counts.successes, counts.failures, counts.total_count, counts.multiplicity
    m = pooled(counts)[0] / pooled(counts)[1]
    terms = k * (k - 1) / m + f * (f - 1) / (1 - m) - n * (n - 1)
    slope = float((w * terms).sum()) / 2
    assert slope < 0
    gamma = 1e-6
    rise = log_evidence(Beta(m / gamma, (1 - m) / gamma), counts) - maximum("colds_father")
    assert rise / gamma == pytest.approx(slope, rel=1e-3)


def test_forum_supremum_is_zero():
    """However often it fails: c = 0 has probability one of that, and no Beta is a point at 0."""
    assert maximum("forum") == 0.0
    counts = load("forum")
    values = [log_evidence(Beta(1.0, b), counts) for b in (1.0, 1e3, 1e6, 1e9)]
    assert values == sorted(values)
    assert -1e-5 < values[-1] < 0
    assert values[0] == pytest.approx(-np.log(5001), rel=1e-14)


# --- what was published

PRINTED_NUMBERS = [
    ("saxony", 0, "concentration1", "34.09558"),
    ("saxony", 0, "concentration0", "31.5715"),
    ("saxony", 0, "log_likelihood", "-12492.9"),
    ("saxony", 1, "log_likelihood", "-12534.17"),
    ("alcohol_week1", 0, "concentration1", "0.7229420"),
    ("alcohol_week1", 0, "concentration0", "0.5808483"),
    ("alcohol_week1", 0, "log_likelihood", "-813.4571"),
    ("alcohol_week2", 0, "concentration1", "0.8575339"),
    ("alcohol_week2", 0, "concentration0", "0.7007620"),
    ("chromosome", 0, "log_likelihood", "-436.813"),
    ("orobanche", 0, "log_likelihood", "-56.258"),
    ("orobanche", 1, "log_likelihood", "-34.991"),
    ("orobanche", 2, "log_likelihood", "-34.829"),
]


def printed(name, index, field):
    (text,) = (row[3] for row in PRINTED_NUMBERS if row[:3] == (name, index, field))
    return text


def test_every_published_number_is_examined():
    fields = ("concentration1", "concentration0", "log_likelihood")
    bundled = {
        (name, index, field): getattr(value, field)
        for name in available()
        for index, value in enumerate(describe(name).published)
        for field in fields
        if getattr(value, field) is not None
    }
    assert bundled == {row[:3]: float(row[3]) for row in PRINTED_NUMBERS}
    assert PublishedValue() == PublishedValue(None, None, None, None, "")


@pytest.mark.parametrize("name", ["saxony", "alcohol_week1", "chromosome", "orobanche"])
def test_published_log_likelihood_is_the_maximum(name):
    assert agrees(maximum(name), printed(name, 0, "log_likelihood"))


@pytest.mark.parametrize("name", ["saxony", "alcohol_week1", "alcohol_week2"])
def test_published_estimate_is_not_quite_the_maximiser(name):
    """Log likelihoods first: they agree to more digits than are printed. Then the digits do not.

    Saxony is 2e-4 off along a flat ridge; the alcohol weeks are 2e-6 and 4e-7 off.
    """
    published, counts, best = start_of(name), load(name), maximiser(name)
    loss = maximum(name) - log_evidence(published, counts)
    distance = {"saxony": 2.2e-4, "alcohol_week1": 2.5e-6, "alcohol_week2": 4.5e-7}[name]
    assert 0 < loss < {"saxony": 2e-6, "alcohol_week1": 2e-9, "alcohol_week2": 1e-10}[name]
    for field, value in (
        ("concentration1", best.concentration1),
        ("concentration0", best.concentration0),
    ):
        text = printed(name, 0, field)
        assert not agrees(value, text)
        assert abs(value / float(text) - 1) == pytest.approx(distance, rel=0.2)


def test_swapped_concentrations_are_noticed():
    """The negative control: the published estimate the wrong way round is no maximum."""
    published = start_of("saxony")
    swapped = Beta(published.concentration0, published.concentration1)
    value = log_evidence(swapped, load("saxony"))
    assert not agrees(value, printed("saxony", 0, "log_likelihood"))
    assert maximum("saxony") - value > 50


def test_saxony_information_criteria():
    counts = load("saxony")
    k, n = pooled(counts)
    binomial = log_binomial_likelihood(counts, k / n)
    assert agrees(k / n, "0.519215")
    assert agrees(binomial, printed("saxony", 1, "log_likelihood"))
    assert agrees(2 * 2 - 2 * maximum("saxony"), "24989.74")
    assert agrees(2 * 1 - 2 * binomial, "25070.34")


@pytest.mark.parametrize(
    ("name", "text"), [("alcohol_week1", "0.4340673"), ("alcohol_week2", "0.3908852")]
)
def test_alcohol_over_dispersion(name, text):
    """1/(a + b + 1), of the estimate printed beside it, to the last digit."""
    published = start_of(name)
    s = published.concentration1 + published.concentration0
    assert agrees(1 / (s + 1), text)
    assert f"1/(a + b + 1) = {text}" in describe(name).published[0].note


def test_orobanche_separate_fits():
    total = sum(maximum(f"orobanche_{dilution}") for dilution in (1, 25, 625))
    assert agrees(total, printed("orobanche", 2, "log_likelihood"))


def test_orobanche_one_concentration_for_three_means():
    """Re-derived: the prior of row i is Beta(m s, (1 - m) s) with the mean m of its dilution.

    The means and the log likelihood agree to every digit; a + b is 78.42332, not 78.424.
    """
    counts = load("orobanche")
    dilution = np.repeat([0, 1, 2], [6, 5, 5])

    def loss(x):
        mean, s = sc.expit(x[:3]), np.exp(x[3])
        a, b = (mean * s)[dilution], ((1 - mean) * s)[dilution]
        g1, g0 = log_evidence_gradient(Beta(a, b), counts)
        by_mean = np.bincount(dilution, (g1 - g0) * s * mean[dilution] * (1 - mean[dilution]))
        return -log_evidence(Beta(a, b), counts), -np.append(by_mean, (g1 * a + g0 * b).sum())

    found = optimize.minimize(loss, [-2.0, 2.0, 2.0, 3.0], jac=True, method="BFGS", tol=1e-7)
    assert agrees(-found.fun, printed("orobanche", 1, "log_likelihood"))
    for logit, text in zip(found.x[:3], ("0.132", "0.871", "0.839"), strict=True):
        assert agrees(sc.expit(logit), text)
    s = np.exp(found.x[3])
    assert s == pytest.approx(78.4233242036, rel=1e-6)
    assert not agrees(s, "78.424")
    assert s == pytest.approx(78.424, rel=1e-5)


def rat_mode(jacobian):
    """The mode of evidence * (a + b)^(-5/2), times ab when it is in (log(a/b), log(a + b))."""
    counts = load("rat_tumors")

    def loss(x):
        a, b = np.exp(x)
        g1, g0 = log_evidence_gradient(Beta(a, b), counts)
        value = log_evidence(Beta(a, b), counts) - 2.5 * np.log(a + b) + jacobian * x.sum()
        slope = np.array([a * (g1 - 2.5 / (a + b)), b * (g0 - 2.5 / (a + b))]) + jacobian
        return -value, -slope

    found = optimize.minimize(loss, np.log([2.0, 12.0]), jac=True, method="BFGS", tol=1e-7)
    return np.exp(found.x)


def test_rat_tumor_posterior_modes():
    """A MAP depends on its coordinates: d log(a/b) d log(a + b) = da db/(a b)."""
    a, b = rat_mode(jacobian=1)
    assert agrees(np.log(a / b), "-1.79")
    assert agrees(np.log(a + b), "2.74")
    assert agrees(a, "2.2272")
    assert agrees(b, "13.2838")
    a, b = rat_mode(jacobian=0)
    assert agrees(a, "1.8249")
    assert agrees(b, "10.8399")


def test_rat_tumor_mode_is_not_the_maximiser():
    best = maximiser("rat_tumors")
    a, b = best.concentration1, best.concentration0
    assert not agrees(np.log(a / b), "-1.79")
    assert not agrees(np.log(a + b), "2.74")


@pytest.mark.parametrize(
    ("name", "concentration1", "concentration0", "log_likelihood"),
    [
        ("saxony", "34.10286", "31.57823", "-12492.87136"),
        ("alcohol_week1", "0.7229404", "0.5808469", None),
        ("alcohol_week2", "0.8575343", "0.7007623", "-821.39224"),
        ("chromosome", "6.119750", "4.418599", "-436.81295"),
        ("orobanche", "0.8153655", "0.6849627", "-56.25774"),
        ("rat_tumors", "2.341614", "14.114804", "-156.56893"),
        ("litters_control", "43.5641", "4.949559", "-21.25353"),
        ("litters_treated", "1.591195", "0.5590488", "-31.53169"),
        ("batting", "210.551", "582.686", "-45.34390"),
    ],
)
def test_earlier_double_precision_maxima(name, concentration1, concentration0, log_likelihood):
    """An independent maximisation in double precision, to the digits it was noted with."""
    best = maximiser(name)
    assert agrees(best.concentration1, concentration1)
    assert agrees(best.concentration0, concentration0)
    assert log_likelihood is None or agrees(maximum(name), log_likelihood)


def test_batting_is_only_just_interior():
    counts = load("batting")
    k, n = pooled(counts)
    binomial = log_binomial_likelihood(counts, k / n)
    assert agrees(binomial, "-45.3579")
    assert 0 < maximum("batting") - binomial < 0.015


def test_coin():
    """(E2): the prior Beta(10, 10) and ten flips; single flips have no binomial coefficient."""
    counts, prior = load("coin"), Beta(10.0, 10.0)
    k, n = pooled(counts)
    after = posterior(prior, counts)
    assert after == Beta([16.0], [14.0])
    assert k / n == 0.6
    assert log_binomial_likelihood(counts, 0.6) == pytest.approx(maximum("coin"), rel=1e-14)
    assert after.mode[0] == pytest.approx(15 / 28, rel=1e-15)
    assert after.mean[0] == pytest.approx((10 + 6) / 30, rel=1e-15)
    assert counts.log_coefficient[0] == pytest.approx(0.0, abs=1e-14)
    assert agrees(-log_evidence(prior, counts), "7.069375")
    as_one_count = log_evidence(prior, Counts(6, 10))
    assert as_one_count - np.log(210) == pytest.approx(log_evidence(prior, counts), rel=1e-14)
