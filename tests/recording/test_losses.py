"""Losses that a mistake's loss model makes at a run's draws, and the name that a replay gives them.

Every model of `elbo_ref.crosscheck.mistakes` that keeps the draws is tried: what numbers alone can
be named for, a recording is named for too.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from elbo_ref.crosscheck.given_draws import losses_given
from elbo_ref.crosscheck.mistakes import closed_form_hypotheses
from elbo_ref.recording.replay.losses import explain_losses, invisible
from recorded import COUNTS, K, Made, N, betas, site, stated, trace_of
from tiers import few


@pytest.fixture(scope="module", params=["beta", "empty"])
def trace(request):
    return trace_of(Made(request.param).recording())


def with_losses(trace, losses):
    """The trace of a run with other losses."""
    return trace_of(Made(trace.guide.name).recording(losses=lambda _: losses))


def comparable(trace):
    """Hypotheses of the run's own model that are about the same draws."""
    for x in closed_form_hypotheses(trace.model):
        same = x.model.added is None and x.model.observed and x.model.batch is None
        if same and len(x.model.counts) == trace.num_latents:
            yield x


@pytest.mark.thorough
def test_each_mistake_is_named_by_the_losses_that_it_makes(trace):
    tried = set()
    for x in comparable(trace):
        losses = losses_given(x.model, trace.draws).values
        explanation = explain_losses(with_losses(trace, losses))
        (finding,) = explanation.findings
        alike = losses_given(explanation.trace.model, trace.draws).values
        assert finding.status == "mistake", (x.name, x.variant, finding)
        np.testing.assert_allclose(alike, losses, rtol=1e-8, err_msg=x.variant)
        tried.add(x.name)
    assert tried >= {"swapped_concentrations", "wrong_sign", "normalised_loss", "wrong_counts"}


@pytest.mark.parametrize(
    ("name", "change"),
    few(
        [
            ("unexplained_constant", {"constant": -3.7}),
            ("normalised_loss", {"factor": 0.37}),
            ("normalised_loss", {"factor": 1 / 12}),
            ("likelihood_weight", {"likelihood_weight": 0.43}),
        ]
    ),
)
def test_a_number_that_all_steps_share_is_found(trace, name, change):
    losses = losses_given(trace.model._replace(**change), trace.draws).values
    explanation = explain_losses(with_losses(trace, losses))
    assert explanation.findings[0].name == name
    for field, wanted in change.items():
        assert getattr(explanation.trace.model, field) == pytest.approx(wanted, rel=1e-6)


def test_what_changes_from_step_to_step_has_no_name(trace):
    """The negative control: a constant that drifts is none, and the run's own losses agree."""
    losses = losses_given(trace.model, trace.draws).values
    assert explain_losses(with_losses(trace, losses)).findings[0].status == "agrees"
    drifting = losses + np.linspace(0.1, 0.2, len(losses))
    assert explain_losses(with_losses(trace, drifting)).findings[0].name == "loss_mismatch"


# -- the parts, on small runs ----------------------------------------------------------------------


def run(steps=3, losses=None, prior=(2.0, 5.0), own=((4.0, 8.0, 15.0), (9.0, 6.0, 30.0)), **groups):
    """Steps of a guide whose draws are all 1/4, with losses by SciPy's densities."""
    c = np.full((steps, 1, 3), 0.25)
    f = stats.binom.logpmf(K, N, 0.25) + stats.beta.logpdf(0.25, *prior)
    f = np.sum(f - stats.beta.logpdf(0.25, *np.array(own)))
    made = np.full(steps, -f) if losses is None else losses(np.full(steps, -f))
    return trace_of(stated(c, betas(prior, own), losses=made, **groups))


def test_what_one_loss_cannot_show():
    """Of one step no number that all share is told from an accident."""
    assert invisible(run(2)) == () and invisible(run(3)) == ()
    assert set(invisible(run(1))) == {
        "normalised_loss", "unexplained_constant", "subsample_unscaled",
        "subsample_scaled_twice", "likelihood_weight", "wrong_total_count",
    }  # fmt: skip


@pytest.mark.parametrize("steps", [1, 2, 3, 12])
def test_losses_that_agree(steps):
    explanation = explain_losses(run(steps))
    (finding,) = explanation.findings
    assert (finding.name, finding.status, explanation.explained) == ("losses", "agrees", True)
    assert finding.quantity.startswith(f"all {steps} losses, the farthest at step ")


@pytest.mark.parametrize(("steps", "name"), [(1, "loss_mismatch"), (2, "normalised_loss")])
def test_a_factor_takes_two_losses(steps, name):
    explanation = explain_losses(run(steps, lambda x: 0.37 * x))
    (finding,) = explanation.findings
    assert finding.name == name
    assert explanation.explained is (steps > 1), "where all depart nothing is explained"
    if steps == 1:
        assert finding.reason == "1 of 1 losses depart, and no known mistake gives them"
    else:
        assert explanation.trace.model.factor == pytest.approx(0.37, rel=1e-9)


@pytest.mark.parametrize("at", [0, 5, 19])
def test_one_loss_of_many_departs(at):
    """Among those that are tried first, and among the others: the rest is explained."""
    explanation = explain_losses(run(20, lambda x: x + 0.5 * (np.arange(20) == at)))
    (finding,) = explanation.findings
    assert (finding.name, finding.quantity) == ("loss_mismatch", f"loss at step {at}")
    assert finding.reason == "1 of 20 losses depart, and no known mistake gives them"
    assert explanation.explained


def test_a_loss_without_a_formula_is_untested():
    explanation = explain_losses(run(header={"loss": {"class": "Mine"}}))
    (finding,) = explanation.findings
    assert (finding.status, explanation.explained) == ("untested", False)
    assert finding.reason == "loss Mine does not follow from the draws by a formula known here"


def closed_divergence(own, prior=(2.0, 5.0)):
    """KL of each latent's Beta from the prior, by quadrature-free formula."""
    (a, b), (p, q) = np.array(own), prior
    psi = special.psi
    return (
        special.betaln(p, q) - special.betaln(a, b)
        + (a - p) * psi(a) + (b - q) * psi(b) + (p + q - a - b) * psi(a + b)
    )  # fmt: skip


def test_a_divergence_in_closed_form_or_at_the_draws():
    """TraceMeanField_ELBO takes either, as its framework knows the divergence or does not."""
    own = ((4.0, 8.0, 15.0), (9.0, 6.0, 30.0))
    mean_field = {"header": {"loss": {"class": "TraceMeanField_ELBO"}}}
    likelihood = stats.binom.logpmf(K, N, 0.25).sum()
    exact = closed_divergence(own).sum() - likelihood
    for losses in (lambda _: np.full(3, exact), None):
        explanation = explain_losses(run(3, losses, **mean_field))
        assert [x.status for x in explanation.findings] == ["agrees"]
    names = [explanation.trace.model.loss.name]
    names.append(
        explain_losses(run(3, lambda _: np.full(3, exact), **mean_field)).trace.model.loss.name
    )
    assert names == ["trace", "trace_mean_field"]
    plain = explain_losses(run(3, lambda _: np.full(3, exact)))
    assert plain.findings[0].status == "mistake", "the other way round it is none of Trace_ELBO's"


def test_single_trials_lack_the_coefficients():
    trace = run(3, lambda x: x + COUNTS.log_coefficient.sum())
    agrees, note = explain_losses(trace).findings
    assert (agrees.status, note.status, note.name) == ("agrees", "note", "coefficients")
    assert f"{float(COUNTS.log_coefficient.sum()):.5g}"[:5] in note.quantity


def test_a_guide_that_is_not_counted_explains_no_gradients():
    """With the latent in the guide it is masked there; without it the latent is not in it."""
    own = ((4.0, 8.0, 15.0), (9.0, 6.0, 30.0))
    density = stats.beta.logpdf(0.25, *np.array(own)).sum()
    explanation = explain_losses(run(3, lambda x: x - density))
    (finding,) = explanation.findings
    assert (finding.name, explanation.explained) == ("loss_mismatch", False)
    assert "is it masked?" in finding.reason


@pytest.mark.parametrize("bound", [True, False])
def test_a_vector_in_no_plate_under_a_bound(bound):
    """Pyro's losses are then those of no bound: nothing is said of them; of an ELBO it is."""
    c = np.random.default_rng(0).uniform(0.1, 0.9, (6, 2, 3))
    vector, y = "_auto_latent", special.logit(c)
    arguments = {
        **betas((2.0, 5.0)),
        f"guide.{vector}.loc": [-1.0, 1.2, -0.8],
        f"guide.{vector}.scale": [0.5, 0.6, 0.7],
        "guide.c.v": c[:, 0],
    }
    sites = [site("model", "c"), site("guide", vector, "Normal"), site("guide", "c", "Delta")]
    loss = {"class": "RenyiELBO", "alpha": 0.0} if bound else {"class": "Trace_ELBO"}
    header = {"loss": {**loss, "num_particles": 2}}
    made = stated(c, arguments, sites=sites, draws={"c": c, vector: y}, header=header)
    (found,) = explain_losses(trace_of(made)).findings
    if bound:
        assert found.status == "untested"
        assert found.reason.startswith(f"{vector} is in no plate: Pyro takes all of its density")
    else:
        assert (found.name, found.status) == ("loss_mismatch", "mistake")
