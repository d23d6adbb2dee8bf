"""Mistakes as data: whose hypotheses they make, at which price, and which losses exclude."""

from __future__ import annotations

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.crosscheck.distribution import expected_losses, loss_distribution
from elbo_ref.crosscheck.mistakes import (
    MISTAKES,
    Mistake,
    closed_form_hypotheses,
    excluded_names,
    fitted_hypotheses,
)
from elbo_ref.crosscheck.variants import Fit, Hypothesis
from loss_models import model_of, posterior

OPEN = {
    "wrong_latents", "wrong_total_count", "wrong_counts", "permuted_rows", "other_objective",
    "mixed_parameters", "wrong_fixed_prior",
}  # fmt: skip
PRICES = {
    "normalised_loss": 3, "unexplained_constant": 3, "mixed_parameters": 3,
    "subsample_unscaled": 2, "subsample_scaled_twice": 2, "likelihood_weight": 2,
}  # fmt: skip


def by_name(hypotheses):
    found = {}
    for x in hypotheses:
        found.setdefault(x.name, []).append(x)
    return found


def fit_of(model, losses):
    law = loss_distribution(model, np.random.default_rng(0))[0]
    return Fit(losses, law, np.maximum(law.variance, 1e-6), expected_losses)


def test_records():
    assert {x for x, mistake in MISTAKES.items() if mistake.open_ended} == OPEN
    assert {x: mistake.price for x, mistake in MISTAKES.items() if mistake.price} == PRICES
    assert all(x == mistake.name for x, mistake in MISTAKES.items())
    bare = Mistake("x", "y")
    assert list(bare.closed_form(model_of())) == list(bare.fitted(model_of(), None)) == []


def test_variants_of_a_mistake_share_one():
    """n of them cost log n each, beside their own price."""
    made = by_name(closed_form_hypotheses(model_of()))
    for name, own in (("swapped_concentrations", [0] * 3), ("wrong_sign", [-4.0])):
        assert [x.price for x in made[name]] == pytest.approx([y + np.log(len(own)) for y in own])
    usual = [x for x in made["normalised_loss"] if "ln" not in x.variant]
    each = np.log(len(made["normalised_loss"]))
    assert [x.price for x in usual] == pytest.approx([each] * len(usual))
    assert not any(x.fitted for rows in made.values() for x in rows)


def test_a_model_that_equals_the_given_one_or_another_is_no_hypothesis():
    """A symmetric prior has no swap of its own, and both are the guide's alone."""
    rows = by_name(closed_form_hypotheses(model_of(prior=(2.0, 2.0))))["swapped_concentrations"]
    assert [x.variant for x in rows] == ["the guide's"] and rows[0].price == 0.0
    same = model_of(prior=(2.0, 2.0), own=np.full((2, 3), 4.0))
    assert "swapped_concentrations" not in by_name(closed_form_hypotheses(same))


def test_minibatches_of_which_mistake():
    """Scaled by 1 is unscaled, by the square is twice; given ones and those that are fitted."""
    made = by_name(closed_form_hypotheses(model_of(batch=2, batch_scale=1.5)))
    assert [x.model.batch_scale for x in made["subsample_unscaled"]] == [1.0]
    assert [x.model.batch_scale for x in made["subsample_scaled_twice"]] == [2.25]
    model = model_of(counts=er.Counts([3, 7, 2] * 4, [10, 9, 6] * 4), own=np.full((2, 12), 4.0))
    for share, name, scale in (
        (0.25, "subsample_unscaled", 1.0),
        (4.0, "subsample_scaled_twice", 16.0),
    ):
        fit = fit_of(model, share * expected_losses(model))._replace(variance=np.full(1, 1e-6))
        rows = by_name(fitted_hypotheses(model, fit))[name]
        assert {x.model.batch: x.model.batch_scale for x in rows}[3] == scale


def test_fitted_numbers_are_charged():
    """A constant, at its price and that of its precision."""
    model = model_of("delta", steps=3)
    fit = fit_of(model, expected_losses(model) + 2.5)
    rows = by_name(fitted_hypotheses(model, fit))
    (one,) = rows["unexplained_constant"]
    error = fit.constant()[1]
    assert one.price == pytest.approx(3 + np.log1p(4 * 3.5 / error))
    assert all(x.fitted for of in rows.values() for x in of)
    right = fit_of(model, expected_losses(model))
    left = by_name(fitted_hypotheses(model, right)).get("unexplained_constant", [])
    assert all(abs(x.model.constant) < 1e-14 for x in left), "no more than rounding"


@pytest.mark.thorough
def test_priors_that_are_held_and_not():
    """An own number for either belongs to another mistake."""
    counts = er.Counts([30, 70, 20, 55], [100, 90, 60, 80])
    own = posterior(counts, (1.0, 4.0))
    losses = np.random.default_rng(3).normal(20.0, 1.0, 25)
    for held, name in ((True, "wrong_fixed_prior"), (False, "mixed_parameters")):
        model = model_of(counts=counts, own=own, steps=25, prior_held=held)
        rows = by_name(fitted_hypotheses(model, fit_of(model, losses)))
        names = {x for x, of in rows.items() if any(y.number == "prior" for y in of)}
        assert name in names
        assert ("wrong_fixed_prior" in names) is held


def hypothesis(name, number=""):
    return Hypothesis("", model_of(), number, name=name)


def test_mistakes_that_are_excluded():
    """None of whose hypotheses fits, unless there are others or a prior was read off the guide."""
    tried = [
        (hypothesis("wrong_sign"), False),
        (hypothesis("swapped_concentrations"), False),
        (hypothesis("swapped_concentrations"), True),
        (hypothesis("likelihood_weight"), False),
        (hypothesis("likelihood_weight"), False),
        (hypothesis("wrong_counts"), False),
        (hypothesis("wrong_fixed_prior", "prior"), False),
    ]
    assert excluded_names(tried) == ("wrong_sign", "likelihood_weight")
    assert excluded_names(tried, exact=True) == ("wrong_sign", "likelihood_weight", "wrong_counts")
    assert excluded_names([]) == ()
