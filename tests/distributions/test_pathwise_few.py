"""`distributions.pathwise.few`: few draws of one pair, against the ways of single draws."""

import json
import math

import numpy as np
import pytest
from scipy import special as sc

import elbo_ref as er
import tiers
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.pathwise import few, field
from places import REFERENCE

ROWS = json.loads((REFERENCE / "pathwise.json").read_text("utf-8"))
LARGEST = 5e-13
"""The largest error that docs/pathwise.md promises for few draws of one pair."""
WAYS = ("_from_one_end", "_from_both_ends", "_from_mode")


def error(y, a, b):
    """The largest relative difference from the ways of single draws; None where out of reach."""
    y = np.atleast_1d(np.asarray(y, dtype=np.float64))
    found = few.derivatives(y, a, b)
    return None if found is None else np.abs(found / field.derivatives(y, a, b) - 1).max()


def reference_errors():
    """For each reference row in the domain that is reached alone, or beside its mirror image."""
    errors = []
    for row in ROWS:
        y, a, b = (float(row[key]) for key in ("logit", "a", "b"))
        wanted = np.array([float(row["da"]), float(row["db"])])
        for company in (y, -y):
            found = few.derivatives(np.array([y, company]), a, b)
            if found is not None:
                errors.append(np.abs(found[:, 0] / wanted - 1).max())
    return np.array(errors)


def test_reference():
    errors = reference_errors()
    assert errors.size > 700
    assert errors.max() <= LARGEST and np.median(errors) <= 5e-16


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("factors", [(1 + 1e-9, 1), (1, 1 - 1e-9)])
def test_a_planted_error_is_caught(way, factors, monkeypatch):
    """Negative control: 1e-9 in one derivative of one of the three sums."""
    honest = getattr(few, way)

    def planted(*arguments):
        found = honest(*arguments)
        return None if found is None else found * np.array(factors)[:, None]

    monkeypatch.setattr(few, way, planted)
    assert np.count_nonzero(reference_errors() > 9e-10) >= 20


@pytest.mark.thorough
def test_ten_draws_of_any_pair():
    """1200 pairs; most are reached, and each of the three sums is taken many times."""
    rng = np.random.default_rng(8)
    reached = 0
    for number in range(1200):
        low, high = ((-6, 8), (-2, 3), (2, 4))[number % 3]
        a, b = 10 ** rng.uniform(low, high, 2)
        y = BETA.sample_logits(np.array([[a], [b]]), (10,), rng)
        found = error(y, float(a), float(b))
        reached += found is not None
        assert found is None or found <= LARGEST, (a, b, y, found)
    assert reached >= 900


@pytest.mark.parametrize("way", WAYS)
def test_the_forum_takes_each_sum(way, monkeypatch):
    """None of the three is dead code for the pairs that people meet."""
    served = []
    honest = getattr(few, way)
    monkeypatch.setattr(few, way, lambda *x: served.append(x) or honest(*x))
    for a, b in ((0.1, 9.5), (1.0, 1.0), (3.0, 500.0), (50.0, 80.0), (1e4, 300.0)):
        few.derivatives(
            BETA.sample_logits(np.array([[a], [b]]), (10,), np.random.default_rng(1)), a, b
        )
    assert served


@pytest.mark.parametrize("a", [1e-6, 0.3, 1.0, 7.0, 60.0])
@pytest.mark.parametrize("b", [1e-3, 1.0, 20.0, 1e4])
def test_the_last_draw_that_each_number_of_terms_serves(a, b):
    """The truncation, from both sides of each change of the number of terms."""
    sizes = {}
    for odds in np.geomspace(1e-9, 1e3, 4000):
        terms = few._terms(odds, a, b)
        if math.isinf(terms):
            break
        sizes[terms] = odds
    middle = max(a, 1.0) / max(b, 1.0)
    for odds in sizes.values():
        for y in math.log(odds) + np.array([0.0, 1e-3, 1e-2]):
            if y <= math.log(middle) or few._is_near(middle, math.exp(y), a, b):
                found = error(y, a, b)
                assert found is None or found <= LARGEST, (y, found)
    assert sizes


@pytest.mark.parametrize("a", [200.0, 250.0, 1000.0, 1e6])
@pytest.mark.parametrize("ratio", [1.0, 2.5, 1e4])
def test_the_mode_at_its_ends(a, ratio):
    """As far from the mode as it reaches, both ways, seen from both sides; no farther."""
    b = a * ratio
    m = a / (a + b)
    for r in (-0.3999, -0.1, -1e-3, 0.0, 0.05, 0.3999):
        y = sc.logit(m * (1 + r))
        assert error(y, a, b) <= LARGEST and error(-y, b, a) <= LARGEST, r
    far = float(sc.logit(m * 0.59))
    assert few._from_mode(np.array([far]), a, b, far, far) is None


@pytest.mark.parametrize(("a", "ratio"), [(40.0, 1.0), (50.0, 1.6), (75.0, 3.0), (110.0, 12.0)])
def test_the_mode_at_its_longest(a, ratio):
    """Pairs that only just have a series about the mode; beside them, ones that have none."""
    y = math.log(1 / ratio) + np.linspace(-0.3, 0.3, 10)
    found = few._from_mode(y, a, a * ratio, y[0], y[-1])
    assert found is not None
    assert np.abs(found / field.derivatives(y, a, a * ratio) - 1).max() <= LARGEST
    assert few._from_mode(y, 0.7 * a, 0.7 * a * ratio, y[0], y[-1]) is None


def test_lines_far_out():
    """Below -700 dy/da is a line of slope -1/a and dy/db stays; the mirror image above 700."""
    y = np.array([-1e9, -701.0, -700.0, 700.0, 1e9])
    by_a, by_b = few.derivatives(y, 0.5, 0.25)
    np.testing.assert_allclose(np.diff(by_a[:3]) / np.diff(y[:3]), -2.0, rtol=1e-12)
    np.testing.assert_allclose(np.diff(by_b[3:]) / np.diff(y[3:]), -4.0, rtol=1e-12)
    assert by_b[0] == by_b[1] == by_b[2] and by_a[3] == by_a[4]


@pytest.mark.parametrize("seed", tiers.few(range(3)))
def test_any_draws_of_any_pair(seed):
    """Concentrations in [1e-100, 1e100] and draws on both sides, far out as well."""
    rng = np.random.default_rng(seed)
    for _ in range(1000):
        a, b = 10 ** rng.uniform(-100, 100, 2)
        sizes = rng.choice([1e-3, 1.0, 30.0, 650.0, 699.0, 701.0, 1e5], 6) * rng.random(6)
        y = np.where(rng.random(6) < 0.5, sizes, -sizes)
        da, db = er.pathwise_gradient(y, a, b)
        assert np.all(np.isfinite(da)) and np.all(da > 0), (y, a, b, da)
        assert np.all(np.isfinite(db)) and np.all(db < 0), (y, a, b, db)


def test_out_of_reach_is_said():
    assert few.derivatives(np.array([-14.0]), 30.0, 1e8) is None


@pytest.mark.parametrize("size", [few.MOST // 2, few.MOST])
def test_draws_that_would_need_too_many_terms_are_taken_apart(size):
    """The outermost are single draws: all are right, and the others need no more terms for them."""
    y = er.Beta(0.1, 5000.0).sample_logit(size, rng=1)
    with np.errstate(under="ignore"):
        assert few.derivatives(y, 0.1, 5000.0) is None
        wanted = field.derivatives(y, 0.1, 5000.0)
    got = np.array(er.pathwise_gradient(y, 0.1, 5000.0))
    np.testing.assert_allclose(got, wanted, rtol=LARGEST)
    assert (got == wanted).all(axis=0).sum() >= size // 40
    assert (got != wanted).any()


@pytest.mark.parametrize(("a", "b"), [(2.0, 1e-3), (0.5, 0.01), (0.1, 9.5)])
def test_the_mirror_image_is_reached_as_well(a, b):
    """Draws on both sides of the middle, which is where s c = 1 for a concentration below 1."""
    y = math.log(a / b) + np.linspace(-8.0, 2.0, 12)
    for size in (3, 7, 12):
        found, mirrored = few.derivatives(y[:size], a, b), few.derivatives(-y[:size], b, a)
        assert found is not None and mirrored is not None
        np.testing.assert_allclose(found, -mirrored[::-1], rtol=LARGEST)


def test_powers_that_are_too_many_are_not_taken():
    """Twenty thousand: 80 terms of 250 draws, and not of one more."""
    a, b, odds = 3.0, 20.0, 1e-9
    while few._terms(odds, a, b) <= 72:
        odds *= 1.01
    terms = few._terms(odds, a, b)
    most = int(20_000 // terms)
    y = np.full(most + 1, math.log(odds))
    y[1:] -= 5.0
    assert few._from_ends(y[:-1], a, b, odds * math.exp(-5.0), odds) is not None
    assert few._from_ends(y, a, b, odds * math.exp(-5.0), odds) is None
