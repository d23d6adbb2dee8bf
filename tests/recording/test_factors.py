"""Counts read off a likelihood that is written by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from elbo_ref.recording import Recording
from elbo_ref.recording.factors import data_of_factor, factors_beside, no_likelihood
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.rows import Data
from recorded import COUNTS, K, Made, N

STEPS = 12


def factored(dtype="float64", constant=0.0, outcomes=(K, N - K), steps=STEPS):
    """A recording of the factor alone, and the logits of its draws, (T, P, L)."""
    y = np.random.default_rng(0).normal(-0.5, 0.6, (steps, 2, 3))
    c = special.expit(y[:, 0]).astype(dtype)
    values = outcomes[0] * np.log(c) + outcomes[1] * np.log1p(-c) + constant
    exact = c.astype(np.float64)
    logits = np.stack([special.logit(exact), y[:, 1]], axis=1)  # the factor is of the first draws
    observed = {"lik.factor": values.astype(dtype)}
    return Recording(losses=np.zeros(steps), observed=observed), logits


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("with_coefficients", [False, True])
def test_the_counts_are_known_exactly(dtype, with_coefficients):
    constant = COUNTS.log_coefficient if with_coefficients else 0.0
    data = data_of_factor(*factored(dtype, constant))
    np.testing.assert_array_equal(data.successes[0], K)
    np.testing.assert_array_equal(data.total_count[0], N)
    assert data.by_hand and data.counts() == COUNTS and data.form(numpyro=False) == "by_hand"
    found = [(x.name, x.status) for x in data.findings]
    assert found == ([] if with_coefficients else [("coefficients", "note")])
    np.testing.assert_allclose(data.log_coefficient[0], constant, rtol=1e-15)


@pytest.mark.parametrize("constant", [100.0, -3000.0])
def test_a_constant_has_a_rounding_of_its_own(constant):
    """In float32 it is a multiple of that of the likelihood."""
    data = data_of_factor(*factored("float32", constant, steps=40))
    assert data.counts() == COUNTS
    assert data.findings[0].theirs == pytest.approx(3 * constant, rel=1e-6)


def test_latents_of_one_outcome_or_none_have_their_counts():
    counts = er.Counts([0, 5, 0], [9, 5, 0])
    for coefficients in (0.0, counts.log_coefficient):
        made, logits = factored(outcomes=(counts.successes, counts.failures))
        values = made.observed["lik.factor"] + coefficients
        data = data_of_factor(replace(made, observed={"lik.factor": values}), logits)
        assert data.counts() == counts and not data.findings
        assert not data.log_coefficient.any() and not data.coefficient_magnitude.any()


@pytest.mark.parametrize("with_coefficients", [True, False])
def test_coefficients_that_a_factor_lacks_have_no_rounding(with_coefficients):
    data = data_of_factor(*factored(constant=COUNTS.log_coefficient * with_coefficients))
    wanted = Data.of(COUNTS).coefficient_magnitude * with_coefficients
    np.testing.assert_array_equal(data.coefficient_magnitude, wanted)


def test_four_draws_are_enough():
    """They determine two counts and a constant, and one more holds them."""
    assert data_of_factor(*factored(steps=4)).counts() == COUNTS
    made, logits = factored(outcomes=(0 * K, N), steps=5)
    curved = np.logaddexp(made.observed["lik.factor"], np.log(0.3))
    assert no_likelihood(replace(made, observed={"lik.factor": curved}), logits) == "lik"


def test_minus_a_likelihood_has_its_counts():
    data = data_of_factor(*factored(outcomes=(-K, K - N)))
    assert data.counts() == COUNTS


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_a_factor_that_no_counts_give(weight):
    """Zero-inflated: of a latent without a success it is no line in log c and log(1 - c)."""
    made, logits = factored(outcomes=(0 * K, N), steps=40)
    values = np.logaddexp(made.observed["lik.factor"], np.log(max(weight, 1e-300)))
    changed = replace(made, observed={"lik.factor": values})
    assert no_likelihood(changed, logits) == ("lik" if weight else "")
    few, short = factored(outcomes=(0 * K, N), steps=4)
    assert no_likelihood(few, short) == ""
    summed = {"lik.factor": values.sum(axis=1, keepdims=True)}
    assert no_likelihood(replace(made, observed=summed), logits) == ""


@pytest.mark.parametrize("known", [True, False])
def test_elements_of_minibatches_are_of_other_counts_in_each_step(known):
    """Rows that are recorded, or a scale, say so: the factor may be a likelihood of each."""
    outcomes = np.random.default_rng(2).integers(0, 9, (2, STEPS, 3))
    made, logits = factored(outcomes=outcomes)
    rows = {"rows.rows": np.arange(3 * STEPS).reshape(STEPS, 3)} if known else {}
    site = {"program": "model", "name": "lik", "class": "Unit", "observed": True}
    for one in (site, {**site, "scale": 1.0}):
        assert no_likelihood(replace(made, header={"sites": [one]}), logits) == "lik"
    site |= {"scale": 1.0 if known else 4.0}
    batches = replace(made, observed={**made.observed, **rows}, header={"sites": [site]})
    assert no_likelihood(batches, logits) == ""


def test_another_constant_is_named():
    (finding,) = data_of_factor(*factored(constant=1.0)).findings
    assert finding.name == "unexplained_constant" and finding.status == "mistake"
    assert finding.theirs == pytest.approx(3.0)


@pytest.mark.parametrize(
    "changed",
    [
        {"outcomes": (K + 0.5, N - K)},  # weighted, or another likelihood
        {"outcomes": (K, -1 - K)},
        {"outcomes": (K, np.array([5, -1, 4]))},  # nearly
        {"steps": 3},  # too few to tell
        {"constant": np.random.default_rng(1).normal(size=(STEPS, 3))},
    ],
)
def test_what_is_no_binomial_likelihood_is_left_alone(changed):
    assert data_of_factor(*factored(**changed)) is None


def test_draws_that_do_not_move_tell_no_counts():
    """As of a point that stands still in one of the latents."""
    made, logits = factored()
    for latents in ([0, 1, 2], [1]):
        still, values = logits.copy(), made.observed["lik.factor"].copy()
        still[..., latents], values[:, latents] = 0.0, -3.0
        observed = {"lik.factor": values}
        assert data_of_factor(replace(made, observed=observed), still) is None


def test_one_factor_of_all_latents_does_not_tell_their_counts():
    recording, logits = factored()
    summed = recording.observed["lik.factor"].sum(axis=1, keepdims=True)
    assert data_of_factor(replace(recording, observed={"lik.factor": summed}), logits) is None
    assert data_of_factor(replace(recording, observed={}), logits) is None


def _density(c, prior, kind):
    """A factor of each latent, (T, 3), by SciPy's distributions."""
    return {
        "penalty": -5 * (c - 0.5) ** 2,
        "hyperprior": -(prior.sum(axis=0) ** 2)[:, None] / 100,
        "prior": stats.beta.logpdf(c, *prior[:, :, None]),
        "likelihood": stats.binom.logpmf(K, N, c),
        "constant": np.ones((1, 3)),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("penalty", {"more": ""}),
        ("hyperprior", {"more": ""}),
        ("prior", {"more": "prior"}),
        ("likelihood", {"more": "likelihood"}),
        ("constant", {}),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_factor_beside_rows_is_another_model_or_counts_something_twice(kind, wanted, dtype):
    rng = np.random.default_rng(0)
    logits = rng.normal(-0.5, 0.6, (STEPS, 1, 3))
    prior = rng.uniform(1, 5, (2, STEPS))
    values = _density(special.expit(logits[:, 0]), prior, kind).astype(dtype)
    recording = Recording(losses=np.zeros(STEPS), observed={"more.factor": values})
    data = Data.of(COUNTS)._replace(by_hand=False)
    found = factors_beside(recording, logits, prior[:, :, None], data)
    assert {name: x.what for name, x in found.items()} == wanted
    beside = COUNTS.log_coefficient.sum() if kind == "likelihood" else 0.0
    room = 1e-4 if dtype == "float32" else 1e-9
    assert all(abs(x.constant - beside) <= room for x in found.values())
    assert factors_beside(recording, logits, prior[:, :, None], None) == {}


def test_a_factor_of_two_steps_is_judged_as_one_of_many():
    """One that changes in its second alone, and one that changes by less than is counted."""
    logits, prior = np.array([[[-0.5, 0.1, 0.3]], [[0.5, 0.4, -0.2]]]), np.ones((2, 2, 1))
    data = Data.of(COUNTS)._replace(by_hand=False)
    for change, what in ((1e-2, ""), (1e-6, "prior")):
        values = {"more.factor": np.array([[1.0], [1.0 + change]])}
        found = factors_beside(Recording(losses=np.zeros(2), observed=values), logits, prior, data)
        assert found["more"].what == what, "the density of a uniform prior is a constant"


def test_a_program_with_a_penalty_is_outside_and_its_losses_are_no_mistake():
    made = Made("beta")

    def penalty(recording):
        return -5 * (recording.draws["c"][:, 0] - 0.5) ** 2

    def observed(recording):
        return {**recording.observed, "more.factor": penalty(recording)}

    def losses(recording):
        return recording.losses - penalty(recording).sum(axis=1)

    verdict = replay(made.recording(losses=losses, observed=observed))
    assert (verdict.outcome, verdict.mistakes) == ("outside_model", ())
    assert "'more'" in verdict.having("outside")[0].quantity
    assert replay(made.recording(losses=losses)).mistakes == ("loss_mismatch",)


@pytest.mark.parametrize("coefficients", [0.0, 1.0, -0.5])
def test_the_likelihood_once_more_explains_the_losses(coefficients):
    """With its binomial coefficients, without them, or with half of them taken away."""
    made = Made("beta")

    def again(recording):
        values = stats.binom.logpmf(K, N, recording.draws["c"]) - COUNTS.log_coefficient
        return values + coefficients * COUNTS.log_coefficient

    def observed(recording):
        return {**recording.observed, "more.factor": again(recording)[:, 0]}

    def losses(recording):
        return recording.losses - again(recording).sum(axis=2).mean(axis=1)

    verdict = replay(made.recording(losses=losses, observed=observed))
    assert {*verdict.mistakes} - {"gradient_mismatch"} == {"likelihood_weight"}
    assert [x.status for x in verdict if x.name == "losses"] == ["agrees"]
    found = verdict["likelihood_weight"]
    assert found.quantity == "the factor 'more' is the likelihood again"


@pytest.mark.parametrize(("size", "named"), [(1.0, True), (1e-2, True), (1e-9, False)])
def test_a_factor_that_hardly_varies_is_not_judged_by_its_curve(size, named):
    """Where all that varies is rounding, the rest of a line is as large as the factor."""
    made, logits = factored(outcomes=(0 * K, N), steps=40)
    curved = size * np.logaddexp(made.observed["lik.factor"], np.log(0.3))
    found = no_likelihood(replace(made, observed={"lik.factor": curved}), logits)
    assert found == ("lik" if named else "")
