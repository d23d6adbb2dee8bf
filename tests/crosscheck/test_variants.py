"""Loss models that a mistake makes of a given one, where nothing is left open."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import elbo_ref as er
from elbo_ref.crosscheck import variants
from elbo_ref.crosscheck.distribution import expected_losses, loss_distribution
from elbo_ref.crosscheck.given_draws import losses_given
from elbo_ref.objectives import RenyiBound
from loss_models import COUNTS, OWN, by_words, draws_of, model_of

PRIOR = np.array([2.0, 3.0])
BETA = np.array(OWN["beta"])
SINGLE = er.Counts([1, 0, 1], 1)


def parameters(x):
    return x.model.prior[:, 0, 0].tolist(), x.model.guide_parameters[:, 0].tolist()


def test_a_fit():
    """Weighted by precision, as by least squares."""
    losses, variance = np.array([3.0, 5.0, 9.0]), np.array([1.0, 4.0, 0.25])
    law = loss_distribution(model_of(steps=3), np.random.default_rng(0))[0]
    fit = variants.Fit(losses, law, variance, expected_losses)
    x, y = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    assert fit.weighted_sum(x, y) == pytest.approx(4 + 10 / 4 + 18 * 4)
    away = losses - law.mean
    shift, error = fit.constant()
    assert shift == pytest.approx(np.average(away, weights=[1, 0.25, 4]))
    assert error == pytest.approx(5.25**-0.5)
    assert fit.noisy
    still = loss_distribution(model_of("delta", steps=3), np.random.default_rng(0))[0]
    assert not fit._replace(distribution=still).noisy


def test_a_hypothesis_with_nothing_said_is_one_with_a_reason():
    one = variants.Hypothesis("so", model_of())
    assert (one.number, one.price, one.fitted, one.name, one.reasoned) == ("", 0.0, False, "", True)


def test_guides_of_two_concentrations():
    assert variants.has_pair(model_of()) and variants.has_pair(model_of("beta_shared"))
    assert not variants.has_pair(model_of("normal")) and not variants.has_pair(model_of("empty"))


def test_single_trials():
    """Rows of one latent whose coefficient is none, though that of their sum is one."""
    assert variants.single_trials(er.Counts.shared([1, 0, 1], 1))
    assert variants.single_trials(er.Counts([1], [1]))
    assert not variants.single_trials(er.Counts.shared([3, 2], [10, 9]))
    assert not variants.single_trials(er.Counts([3], [10]))
    groups = er.Counts.grouped([1, 0, 5, 3], [1, 1, 9, 8], ["x", "x", "y", "y"])
    assert variants.single_trials(groups)
    two = er.Counts.shared([1, 0, 0, 0, 0, 0, 0], [2, 1, 1, 1, 1, 1, 1])
    assert not variants.single_trials(two)


def test_swapped():
    """The prior's, the guide's, or both; a guide without concentrations keeps its own."""
    rows = by_words(variants.swapped, model_of())
    turned, own = PRIOR[::-1].tolist(), BETA[::-1].tolist()
    assert [parameters(x) for x in rows.values()] == [
        (turned, BETA.tolist()), (PRIOR.tolist(), own), (turned, own)
    ]  # fmt: skip
    assert list(rows)[:2] == ["the prior's", "the guide's"]
    assert list(rows)[2].startswith("the prior's and the guide's, which is the same as successes")
    assert list(by_words(variants.swapped, model_of("normal"))) == ["the prior's"]
    assert by_words(variants.swapped, model_of("none")) == {}


def test_mean_and_total_as_concentrations():
    """Where they were given so; otherwise concentrations for a mean and a total, if below one."""
    rows = by_words(variants.mixed_roles, model_of(by_mean=("prior", "guide")))
    totals = BETA.sum(axis=0)
    means = [(BETA[0] / totals).tolist(), totals.tolist()]
    for words, x in rows.items():
        prior, own = parameters(x)
        assert prior == ([0.4, 5.0] if "the prior's" in words else [2.0, 3.0])
        assert own == (means if "the guide's" in words else BETA.tolist())
        assert x.price == 2.0
    assert list(rows) == [
        "the prior's mean and total are passed as concentrations",
        "the guide's mean and total are passed as concentrations",
        "the prior's mean and total are passed as concentrations; "
        "the guide's mean and total are passed as concentrations",
    ]
    low = model_of(own=np.array([[0.5, 0.25, 0.9], [8.0, 2.0, 5.0]]), prior=(0.3, 10.0))
    rows = by_words(variants.mixed_roles, low)
    one = rows["the prior's concentrations are a mean and a total; "
               "the guide's concentrations are a mean and a total"]  # fmt: skip
    prior, own = parameters(one)
    np.testing.assert_allclose(prior, [3.0, 7.0])
    np.testing.assert_allclose(own, [[4.0, 0.5, 4.5], [4.0, 1.5, 0.5]])
    assert [words for words in rows if "mean" in words] == list(rows)[:3]


def test_one_concentration_and_their_total():
    """The second of two may be the total, if all are larger than the first."""
    own = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.5]])
    rows = by_words(variants.mixed_roles, model_of(own=own))
    words = "the {}'s concentration0 is the total of both"
    both = f"{words.format('prior')}; {words.format('guide')}"
    assert [x for x in rows if "total of both" in x] == list(rows)[-3:]
    assert parameters(rows[both]) == ([2.0, 1.0], [[1.0, 2.0, 3.0], [3.0, 3.0, 3.5]])
    reversed_ = model_of(prior=(3.0, 2.0), own=own[::-1])
    for given in (reversed_, model_of(own=own, by_mean=("prior", "guide"))):
        assert not [x for x in by_words(variants.mixed_roles, given) if "total of both" in x]


def test_what_is_no_mean():
    """A concentration of one or more, of any latent; of a guide without any, the prior alone."""
    for first in (1.0, 1.5):
        own = np.array([[0.5, first, 0.9], [8.0, 2.0, 5.0]])
        rows = by_words(variants.mixed_roles, model_of(own=own, prior=(0.3, 10.0)))
        of_mean = [x for x in rows if "mean" in x]
        assert of_mean == ["the prior's concentrations are a mean and a total"]
    rows = by_words(variants.mixed_roles, model_of("normal", prior=(0.3, 10.0)))
    assert list(rows) == [
        "the prior's concentrations are a mean and a total",
        "the prior's concentration0 is the total of both",
    ]
    assert by_words(variants.mixed_roles, model_of("none")) == {}


def test_not_in_guide():
    rows = by_words(variants.not_in_guide, model_of())
    model, apart = (x.model for x in rows.values())
    assert model.guide.name == apart.guide.name == "empty"
    assert model.guide_parameters.shape == (0, 1, 3) and model.added is None
    at = draws_of(np.random.default_rng(1).beta(2.0, 3.0, (1, 1, 3)))
    density = special.xlogy(BETA - 1, np.array((at.c[0, 0], 1 - at.c[0, 0]))).sum()
    density -= special.betaln(*BETA).sum()
    assert losses_given(apart.added, at).values[0] == pytest.approx(density)
    assert list(by_words(variants.not_in_guide, model_of("normal"))) == ["c is drawn in the model"]
    assert len(by_words(variants.not_in_guide, model_of("tied"))) == 1
    for given in (
        model_of(batch=2, batch_scale=1.5), model_of(loss=RenyiBound(0.0, 2))
    ):  # fmt: skip
        assert list(by_words(variants.not_in_guide, given)) == ["c is drawn in the model"]
    for given in (model_of("empty"), model_of("none"), model_of(loss="trace_mean_field")):
        assert by_words(variants.not_in_guide, given) == {}


def test_negated_and_divided():
    (one,) = by_words(variants.negated, model_of(factor=2.0)).values()
    assert (one.model.factor, one.price) == (-2.0, -4.0)
    rows = by_words(variants.divided, model_of(particles=7, factor=2.0))
    reasons = {x: y for x, y in rows.items() if y.price == 0}
    assert {x: y.model.factor for x, y in reasons.items()} == {
        "divided by the 3 latents": 2 / 3, "multiplied by the 3 latents": 6.0,
        "divided by the 25 trials": 0.08, "multiplied by the 25 trials": 50.0,
        "divided by the 7 particles": 2 / 7, "multiplied by the 7 particles": 14.0,
    }  # fmt: skip
    assert {x.number for x in rows.values()} == {"factor"}
    units = {x: y.model.factor for x, y in rows.items() if y.price == 4.0}
    assert units == {
        "divided by ln 2, as bits are": 2 / np.log(2),
        "multiplied by ln 2, as bits are": 2 * np.log(2),
        "divided by ln 10, as decimal logarithms are": 2 / np.log(10),
        "multiplied by ln 10, as decimal logarithms are": 2 * np.log(10),
    }
    batch = by_words(variants.divided, model_of(batch=2))
    assert batch["divided by the 2 of a minibatch"].model.factor == 0.5
    several = er.Counts([1, 2], [3, 2], multiplicity=[2, 1])
    words = list(by_words(variants.divided, model_of(counts=several, own=np.ones((2, 2)))))
    assert [x for x in words if x.startswith("divided by the")] == [
        "divided by the 3 latents", "divided by the 8 trials"
    ]  # fmt: skip
    one = model_of(counts=er.Counts(1, 1), own=np.ones((2, 1)), particles=2)
    assert list(by_words(variants.divided, one))[:2] == [
        "divided by the 2 particles", "multiplied by the 2 particles"
    ]  # fmt: skip


WEIGHTED = {
    "beta": True,
    "normal": True,
    "delta": True,
    "empty": True,
    "tied": False,
    "none": False,
}


@pytest.mark.parametrize("guide", WEIGHTED)
def test_losses_with_a_divergence(guide):
    assert variants.has_divergence(model_of(guide)) is WEIGHTED[guide]
    assert bool(by_words(variants.weighted, model_of(guide))) is WEIGHTED[guide]


def test_weights():
    """Common ones and the number of latents: of the likelihood, or of all but it."""
    rows = by_words(variants.weighted, model_of(likelihood_weight=0.5, factor=3.0))
    weights = {1000, 100, 20, 10, 5, 4, 10 / 3, 2, 1 / 3, 0.2, 0.25, 0.1, 3, 0.5}
    for x in weights:
        one = rows[f"the log likelihood times {1 / x:g}"]
        assert one.model.likelihood_weight == pytest.approx(0.5 / x) and one.price == 0
        assert one.model.factor == 3.0
        other = rows[f"the divergence from the prior times {x:g}"]
        assert other.model.likelihood_weight == pytest.approx(0.5 / x)
        assert other.model.factor == pytest.approx(3 * x)
        assert other.price == (2.0 if x > 1 else 0.0)
    assert rows["the log likelihood times -1"].model.likelihood_weight == -0.5
    assert len(rows) == 2 * len(weights) + 1
    two = model_of(counts=er.Counts([3, 7], [10, 9]), own=np.ones((2, 2)))
    assert len(by_words(variants.weighted, two)) == 27
    alone = model_of(counts=er.Counts(3, 10), own=np.ones((2, 1)))
    assert "the log likelihood times 1" not in by_words(variants.weighted, alone)


def test_a_prior_that_is_held():
    rows = by_words(variants.held_prior, model_of(prior_held=True, steps=2))
    assert {x: y.model.prior.ravel().tolist() for x, y in rows.items()} == {
        "Beta(1, 1)": [1.0] * 4, "Beta(0.5, 0.5)": [0.5] * 4, "Beta(2, 2)": [2.0] * 4
    }  # fmt: skip
    assert by_words(variants.held_prior, model_of()) == {}


def test_other_objectives():
    rows = by_words(variants.other_objective, model_of(particles=4))
    bound, trace, mean_field = rows.values()
    assert (bound.model.loss, bound.model.num_particles) == (RenyiBound(0.0, 4), 1)
    assert [x.model.loss.name for x in (trace, mean_field)] == ["trace", "trace_mean_field"]
    assert list(rows)[2] == "those of trace_mean_field"
    assert len(by_words(variants.other_objective, model_of())) == 2
    assert len(by_words(variants.other_objective, model_of(particles=2))) == 3
    normal = by_words(variants.other_objective, model_of("normal"))
    assert list(normal)[1] == "those of trace_mean_field, without the Jacobian of the sigmoid"
    for guide in ("delta", "empty", "tied", "none"):
        assert by_words(variants.other_objective, model_of(guide)) == {}
    closed = by_words(variants.other_objective, model_of(loss="trace_mean_field", particles=4))
    assert list(closed) == ["those of trace", "those of trace_mean_field"]
    assert by_words(variants.other_objective, model_of(loss=RenyiBound(0.0, 2), particles=4)) == {}
    batch = {"batch": 2, "batch_scale": 1.5, "particles": 4}
    assert by_words(variants.other_objective, model_of(**batch)) == {}
    assert list(by_words(variants.other_objective, model_of("normal", **batch))) == [
        "those of trace_mean_field, without the Jacobian of the sigmoid"
    ]


COEFFICIENTS = "those of single trials, or of a likelihood without its binomial coefficients"


def test_other_meanings():
    (one,) = by_words(variants.other_meanings, model_of()).values()
    assert one.variant == COEFFICIENTS and one.number == "constant"
    wanted = COUNTS.log_coefficient.sum()
    change = expected_losses(one.model) - expected_losses(model_of())
    np.testing.assert_allclose(change, wanted, rtol=1e-12)
    assert by_words(variants.other_meanings, model_of(coefficients=False)) == {}
    assert by_words(variants.other_meanings, model_of(counts=SINGLE)) == {}


def test_a_constant_of_the_totals():
    """Of rows of one latent: minus the log of the ways to divide the sum among them."""
    shared = er.Counts.shared([3, 7, 2], [10, 9, 6])
    given = model_of(counts=shared, own=[[4.0], [8.0]], constant=1.0)
    rows = by_words(variants.other_meanings, given)
    one = rows["those of the totals, not of the rows"]
    ways = np.log(special.binom([10, 9, 6], [3, 7, 2])).sum() - np.log(special.binom(25, 12))
    assert one.model.constant - 1.0 == pytest.approx(ways) and one.number == "constant"
    assert len(rows) == 2


def test_the_marginal_likelihood():
    """That of a guide without the latent is minus the log evidence, exactly (E12)."""
    given = model_of("empty", steps=3)
    one = by_words(variants.other_meanings, given)[
        "those of the marginal likelihood, BetaBinomial, without a latent"
    ]
    evidence = er.log_evidence(er.Beta(2.0, 3.0), COUNTS)
    np.testing.assert_allclose(expected_losses(one.model), [-evidence] * 3, rtol=1e-12)
    assert one.model.guide_parameters.shape == (2, 3, 3)


def test_other_bounds_are_meanings():
    given = model_of(loss=RenyiBound(0.0, 2))
    rows = by_words(variants.other_meanings, given)
    assert [x.model.bound for x in rows.values()] == ["each", "together"]


def test_coefficients_counted_twice():
    (one,) = by_words(variants.other_coefficients, model_of(constant=1.0)).values()
    wanted = 1.0 - COUNTS.log_coefficient.sum()
    assert one.model.constant == pytest.approx(wanted) and one.price == 2.0
    assert one.number == "constant"
    assert by_words(variants.other_coefficients, model_of(counts=SINGLE)) == {}
    little = model_of(counts=er.Counts([1, 0], [2, 1]), own=np.ones((2, 2)))
    (one,) = by_words(variants.other_coefficients, little).values()
    assert one.model.constant == pytest.approx(-np.log(2))


FUNCTIONS = {"exp": np.exp, "softplus": lambda x: np.log1p(np.exp(x))}


def test_unconstrained():
    """All, the prior's or the guide's; softplus is seldom meant."""
    rows = by_words(variants.unconstrained, model_of())
    assert len(rows) == 6
    for words, x in rows.items():
        name, _, owner = words.partition(" is still to be applied to ")
        f = FUNCTIONS[name]
        prior, own = parameters(x)
        np.testing.assert_allclose(prior, PRIOR if owner == "the guide's" else f(PRIOR))
        np.testing.assert_allclose(own, BETA if owner == "the prior's" else f(BETA))
        assert x.price == (0.0 if name == "exp" else 2.0)


KNOWN = {
    "the prior is known": ({"constrained": ("prior",)}, PRIOR, np.exp(BETA)),
    "the guide is known": ({"constrained": ("guide",)}, np.exp(PRIOR), BETA),
    "no concentrations": ({"guide": "normal"}, np.exp(PRIOR), OWN["normal"]),
}


@pytest.mark.parametrize("case", KNOWN)
def test_what_is_known_stays_as_it_is(case):
    changes, prior, own = KNOWN[case]
    rows = by_words(variants.unconstrained, model_of(**changes))
    assert list(rows) == [f"{x} is still to be applied to all" for x in FUNCTIONS]
    one = parameters(rows["exp is still to be applied to all"])
    np.testing.assert_allclose(one[0], prior)
    np.testing.assert_allclose(one[1], own)


def test_nothing_is_unconstrained_beyond_all_numbers():
    """exp of 40 is more than any concentration, of the prior or of the guide."""
    for given in (model_of(prior=(2.0, 40.0)), model_of(own=[[4.0, 8.0, 40.0], BETA[1]])):
        words = by_words(variants.unconstrained, given)
        assert "exp is still to be applied to all" not in words
        assert "softplus is still to be applied to all" in words
    assert len(by_words(variants.unconstrained, model_of("empty", prior=(0.1, 0.2)))) == 2


def test_exp_once_more():
    both = ("prior", "guide")
    rows = by_words(variants.constrained_again, model_of(constrained=both))
    for what, f in (("exp", np.exp), ("softplus", lambda x: np.log1p(np.exp(x)))):
        for owner, first, second in (
            ("all", f, f), ("the prior's", f, np.asarray), ("the guide's", np.asarray, f)
        ):  # fmt: skip
            one = rows.pop(f"{what} is applied once more to {owner}")
            prior, own = parameters(one)
            np.testing.assert_allclose(prior, first(PRIOR))
            np.testing.assert_allclose(own, second(BETA))
            assert one.price == (2.0 if what == "exp" else 4.0)
    assert rows == {}
    for given in (
        model_of(), model_of(constrained=("prior",)), model_of(constrained=("guide",)),
        model_of(constrained=both, by_mean=("prior",)), model_of("normal", constrained=both),
    ):  # fmt: skip
        assert by_words(variants.constrained_again, given) == {}
    for given in (
        model_of(constrained=both, prior=(2.0, 40.0)),
        model_of(constrained=both, own=[[4.0, 8.0, 40.0], BETA[1]]),
    ):
        assert "exp is applied once more to all" not in by_words(variants.constrained_again, given)


def test_batches():
    given = model_of(batch=2, batch_scale=1.5)
    (once,) = by_words(variants.batch_scaled, given, twice=False).values()
    (twice,) = by_words(variants.batch_scaled, given, twice=True).values()
    assert (once.model.batch_scale, once.variant) == (1.0, "scaled by 1")
    assert (twice.model.batch_scale, twice.variant) == (2.25, "scaled by 1.5 squared")
    assert by_words(variants.batch_scaled, model_of(), twice=True) == {}


def test_a_total_is_more_than_one_of_its_parts():
    """Where it is equal the other would be zero."""
    for total, possible in ((2.0, False), (2.5, True)):
        x = np.array([[[2.0]], [[total]]])
        changed, words = variants._by_one_and_total({"prior": x}, ())
        assert set(changed) == set(words) == ({"prior"} if possible else set())
        if possible:
            assert changed["prior"].ravel().tolist() == [2.0, 0.5]
    assert variants._by_one_and_total({"prior": x}, ("prior",)) == ({}, {})
