"""Tests of loss models: a right one passes, a wrong one is rejected, and mistakes explain it.

Losses are drawn by NumPy and SciPy. Seeds are fixed; a right model is rejected in 1% of all seeds.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er
from elbo_ref.crosscheck import hypothesis_test
from elbo_ref.crosscheck.alignment import Losses
from elbo_ref.crosscheck.hypothesis_test import (
    Explanation,
    HypothesisReport,
    _Compared,
    try_hypotheses,
)
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.mistakes import MISTAKES, closed_form_hypotheses
from elbo_ref.crosscheck.model_test import LEVEL, ModelTest
from elbo_ref.crosscheck.variants import Hypothesis
from elbo_ref.guides import GUIDES
from elbo_ref.objectives import OBJECTIVES
from tiers import few

K, N = np.array([3, 11, 0, 7]), np.array([10, 20, 6, 7])
STEPS, TRACE = 40, OBJECTIVES["trace"]


def model(prior=(2.0, 3.0), steps=STEPS, **options):
    """A Beta guide near the posterior, which wanders."""
    rng = np.random.default_rng(0)
    wander = np.exp(np.cumsum(rng.normal(0, 0.03, (2, steps, K.size)), axis=1))
    own = (np.array(prior)[:, None, None] + np.array((K, N - K))[:, None]) * wander
    priors = np.multiply.outer(prior, np.ones((steps, 1)))
    given = LossModel(er.Counts(K, N), GUIDES["beta"], TRACE, 1, priors, own, "float64")
    return given._replace(**options)


def drawn(given, rng, added=0.0):
    """One loss of each step."""
    prior, own, k = given.prior, given.guide_parameters, given.counts.successes
    c = rng.beta(*own)
    f = stats.binom.logpmf(k, given.counts.total_count, c) + stats.beta.logpdf(c, *prior)
    values = added - (f - stats.beta.logpdf(c, *own)).sum(axis=1)
    return Losses(values, np.zeros(values.size))


def swapped(given):
    return given._replace(prior=given.prior[::-1])


def against_losses(given, losses):
    return ModelTest(given, losses, np.random.default_rng(0))


def test_p_values_of_a_right_model_are_uniform():
    """Of 30 runs: each loss, and the mean of a run; Kolmogorov-Smirnov at 0.1%."""
    rng, given = np.random.default_rng(1), model()
    tests = [against_losses(given, drawn(given, rng)) for _ in range(30)]
    singles = np.concatenate([test.p for test in tests])
    assert stats.kstest(singles, "uniform").pvalue > 1e-3
    assert stats.kstest([test.p_mean for test in tests], "uniform").pvalue > 1e-3
    assert sum(test.p_any < LEVEL for test in tests) <= 2


@pytest.mark.thorough
def test_negative_control_of_the_p_values():
    rng, given = np.random.default_rng(1), model()
    tests = [against_losses(swapped(given), drawn(given, rng)) for _ in range(6)]
    assert max(test.p_any for test in tests) < LEVEL


def test_a_rival_is_told_apart_by_the_weighted_sum():
    """By the sum weighted by where two models differ; of itself it says nothing."""
    given, rng = model(), np.random.default_rng(2)
    right, wrong = (against_losses(x, drawn(given, rng)) for x in (given, swapped(given)))
    assert right.against(wrong) > LEVEL > 1e-3 > wrong.against(right)
    assert right.against(right) == 1.0
    assert right.passes(wrong) and not wrong.passes(right)


def test_departures_that_cancel_show_in_the_spread():
    given = model()
    losses = drawn(given, np.random.default_rng(3))
    test = against_losses(given, losses)
    std, signs = np.sqrt(test.distribution.variance), np.resize([1.0, -1.0], STEPS)
    spread = against_losses(
        given, losses._replace(values=test.distribution.mean + 2.5 * signs * std)
    )
    assert spread.p_mean > LEVEL
    assert spread.p_any < LEVEL
    assert test.p_any > LEVEL


def test_an_impossible_loss_shows_alone():
    given = model()
    losses = drawn(given, np.random.default_rng(4))
    losses.values[7] += 60
    test = against_losses(given, losses)
    assert (int(np.argmin(test.p)), test.p_any < 1e-6) == (7, True)
    allowed = Losses(losses.values, np.where(np.arange(STEPS) == 7, 100.0, 0.0))
    assert against_losses(given, allowed).p_any > LEVEL


@pytest.mark.parametrize("added", few([0.0, 3.0]))
def test_reports(added):
    """A right model: not rejected, rivals ruled out. One with a constant: explained by it."""
    given = model()
    report = try_hypotheses(
        given, drawn(given, np.random.default_rng(5), added), np.random.default_rng(0)
    )
    assert "swapped_concentrations" in report.ruled_out
    assert report.rejected == (added > 0)
    assert report.shift == pytest.approx(added, abs=5 * report.shift_error)
    if added:
        best = report.explanations[0].hypothesis
        assert best.name == "unexplained_constant"
        assert best.model.constant == pytest.approx(3.0, abs=5 * report.shift_error)
    else:
        assert report.explanations == ()
        assert report.certain is None


@pytest.mark.thorough
def test_losses_that_nothing_explains():
    """Each loss is noise of its own kind: rejected, and no mistake is named."""
    given, rng = model(), np.random.default_rng(6)
    losses = drawn(given, rng)
    losses.values[:] = rng.permutation(np.geomspace(1e3, 1e6, STEPS))
    report = try_hypotheses(given, losses, np.random.default_rng(0))
    assert report.rejected
    assert report.explanations == ()


def test_each_mistake_is_charged_once():
    """Its variants share the price: exp(-price) adds up to one, but for what is rare or usual."""
    totals = {}
    for x in closed_form_hypotheses(model(steps=3)):
        totals[x.name] = totals.get(x.name, 0.0) + np.exp(-x.price)
    assert totals.keys() <= MISTAKES.keys()
    assert 0.01 < totals.pop("unexplained_constant") < 0.2
    assert totals.pop("unconstrained_values") < 1 < totals.pop("wrong_sign")
    assert 0.5 < totals.pop("likelihood_weight") < 1
    assert 0.1 < totals.pop("mixed_roles") < 0.2 < totals.pop("normalised_loss") < 1
    assert list(totals.values()) == pytest.approx([1.0] * len(totals))


def test_what_makes_the_same_model_is_no_hypothesis():
    """Symmetric concentrations, coefficients of single trials, minibatches of everything."""
    names = {x.name for x in closed_form_hypotheses(model(steps=2))}
    assert {"swapped_concentrations", "unexplained_constant", "wrong_total_count"} <= names
    single = er.Counts([1, 0, 1, 1], 1)
    ones = np.full((2, 2, 4), 2.0)
    same = model((2.0, 2.0), steps=2, counts=single, guide_parameters=ones)
    found = {x.name for x in closed_form_hypotheses(same)}
    assert not found & {"swapped_concentrations", "unexplained_constant"}
    whole = model(steps=2, batch=4, batch_scale=1.0)
    assert not {x.name for x in closed_form_hypotheses(whole)} & {"subsample_unscaled"}


def test_models_of_many_latents_are_compared_by_value():
    """NumPy prints the ends of a thousand numbers: those in the middle differ here."""
    k, n = np.ones(1001, int), np.full(1001, 10)
    n[400:600] = 2
    prior, own = np.ones((2, 1, 1)), np.ones((2, 1, 1))
    given = LossModel(er.Counts(k, n), GUIDES["beta_shared"], TRACE, 1, prior, own, "float64")
    ten = er.Counts(k, np.full(1001, 10))
    assert str(given.counts.total_count) == str(ten.total_count)

    def largest(given):
        found = closed_form_hypotheses(given)
        return [x.model.counts for x in found if x.variant == "the largest for all"]

    assert largest(given) == [ten]
    assert largest(given._replace(counts=ten)) == []
    labelled = er.Counts.grouped(k, np.full(1001, 10), np.arange(1001))
    assert largest(given._replace(counts=labelled)) == []


def compared(shares):
    """Other meanings that have these shares of all, but for what is not known."""
    test = SimpleNamespace(p_any=1.0)
    found = tuple(Explanation(Hypothesis(f"{x}", model(steps=1)), test, x) for x in shares)
    tried = [(x.hypothesis, test) for x in found]
    return SimpleNamespace(_meanings=[], _screened=lambda _: tried, _weighed=lambda _: found)


@pytest.mark.parametrize("odds", [0.9, 1.5, 40.0])
def test_a_meaning_is_as_certain_as_its_odds_to_something_unknown(odds):
    """Something else has e^5 less than all meanings together have to begin with."""
    share = odds / (odds + np.exp(5.0))
    found = _Compared.meaning(compared([0.7 * share, 0.3 * share]))
    assert (found is None) == (odds < 1)
    if found is not None:
        assert found.probability == pytest.approx(odds / (1 + odds), rel=1e-9)


def test_a_screening_is_rough_and_shares_its_draws(monkeypatch):
    made = []
    monkeypatch.setattr(hypothesis_test, "ModelTest", lambda *x, **options: made.append(options))
    draws = object()
    _Compared._rough(SimpleNamespace(_rng=None, _draws=draws), None, None)
    assert made == [{"rough": True, "draws": draws}]


def test_what_does_not_vary_is_weighted_all_the_same(monkeypatch):
    """By a millionth of a millionth of 1 and of the loss, which nothing divides by zero."""
    law = SimpleNamespace(mean=np.array([0.0, 3.0, -3.0]), variance=np.array([0.0, 0.0, 4.0]))
    monkeypatch.setattr(hypothesis_test, "quick_distribution", lambda *_: (law, np.zeros(3)))
    losses = Losses(np.ones(3), np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.0, 4.0]))
    compared, given = SimpleNamespace(_rng=None, _draws=None, _losses=losses), model(steps=1)
    fit = _Compared.fit(compared, given._replace(factor=-0.25))
    assert fit.variance == pytest.approx([1e-24, 1e-23, 8.0], rel=1e-9, abs=0.0)


@pytest.mark.parametrize("bases", [True, False])
@pytest.mark.parametrize("reasoned", [True, False])
def test_mistakes_of_other_meanings_are_tried_last(monkeypatch, bases, reasoned):
    """Where no mistake of the given model has a reason; and only if they are asked for."""
    for name in ("closed_form_hypotheses", "fitted_hypotheses"):
        monkeypatch.setattr(hypothesis_test, name, lambda *_: [])
    monkeypatch.setattr(hypothesis_test, "excluded_names", lambda _: ())
    found = Explanation(Hypothesis("", model(steps=1), reasoned=reasoned), None, 1.0)
    asked = []
    given = SimpleNamespace(
        fit=lambda _: None, _given=None, _explained=lambda _: (found,),
        _screened=lambda x: asked.append(x) or [], _of_meanings=lambda: ["other"],
    )  # fmt: skip
    _Compared.explanations(given, bases=bases)
    assert asked == [[], ["other"]][: 1 + (bases and not reasoned)]


@pytest.mark.parametrize(
    ("probability", "p", "reasoned", "alone"),
    [
        (0.951, 0.5, True, True), (0.949, 0.5, True, False), (0.999, 0.051, True, True),
        (0.999, 0.049, True, False), (0.999, 0.5, False, False),
    ],
)  # fmt: skip
def test_a_mistake_is_named_alone_where_hardly_anything_else_is_possible(
    probability, p, reasoned, alone
):
    """By its probability, and by how well its own losses fit."""
    test = SimpleNamespace(p_any=p)
    hypothesis = SimpleNamespace(name="wrong_sign", reasoned=reasoned)
    found = Explanation(hypothesis, test, probability)
    report = HypothesisReport(test, True, 1e-9, (found,), (), 0.0, 0.0)
    assert (report.certain is found) == alone
