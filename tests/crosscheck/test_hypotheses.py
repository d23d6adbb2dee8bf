"""Every hypothesis that a given model leads to, and what a test of losses makes of them.

Of each its name, its words, its price, and the mean and the variance of the losses that it implies;
of a report its p-values and the probability of each explanation. They stand in
`reference/verdicts.json`, as they were when they were looked at; that a planted mistake is named is
held in `test_mistakes_by_kind.py`, that a distribution is right in `test_distribution.py`.
"""

from __future__ import annotations

import golden
import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from elbo_ref.crosscheck.alignment import Losses
from elbo_ref.crosscheck.distribution import expected_losses, quick_distribution
from elbo_ref.crosscheck.given_draws import Draws, losses_given
from elbo_ref.crosscheck.hypothesis_test import try_hypotheses
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.mistakes import closed_form_hypotheses, fitted_hypotheses
from elbo_ref.crosscheck.model_test import ModelTest
from elbo_ref.crosscheck.moments import DrawCumulants
from elbo_ref.crosscheck.variants import Fit, other_meanings
from elbo_ref.guides import GUIDES
from elbo_ref.objectives import OBJECTIVES, RenyiBound
from tiers import few

K, N = np.array([3, 11, 1, 7, 19, 4]), np.array([10, 20, 6, 9, 31, 4])
COUNTS, PRIOR = er.Counts(K, N), np.array([1.3, 2.4])
SINGLE = er.Counts([1, 0, 0, 1, 0], 1)
SHARED = er.Counts.shared(K, N)
SEVERAL = er.Counts(K, N, multiplicity=[1, 2, 1, 3, 1, 1])
SIZE = 30


def posterior(counts=COUNTS, prior=PRIOR, scale=1.1):
    return scale * (prior[:, None] + np.array((counts.successes, counts.failures)))


def model_of(guide="beta", counts=COUNTS, own=None, prior=PRIOR, loss="trace", **given):
    shapes = {"beta": posterior(counts), "delta": special.logit((counts.successes[None] + 0.5)
              / (counts.total_count + 1))}  # fmt: skip
    shapes["normal"] = np.array((shapes["delta"][0], np.full(len(counts), 0.4)))
    shapes["none"] = shapes["delta"]
    own = shapes.get(guide, np.zeros((0, len(counts)))) if own is None else own
    return LossModel(
        counts=counts,
        guide=GUIDES[guide],
        loss=OBJECTIVES[loss] if isinstance(loss, str) else loss,
        num_particles=given.pop("num_particles", 1),
        prior=np.repeat(np.reshape(prior, (2, 1, 1)), SIZE, axis=1),
        guide_parameters=np.repeat(own[:, None], SIZE, axis=1),
        dtype="float64",
    )._replace(**given)


def elbo(rng, size=SIZE, k=K, n=N, own=None, prior=PRIOR, weight=1.0, particles=1):
    a, b = posterior() if own is None else own
    c = rng.beta(a, b, (size, particles, a.size))
    rest = stats.beta.logpdf(c, *prior) - stats.beta.logpdf(c, a, b)
    return -(weight * stats.binom.logpmf(k, n, c) + rest).sum(axis=-1).mean(axis=-1)


def hypotheses(given, losses=None):
    """Those in closed form, those that are fitted to losses, and the other meanings."""
    rng = np.random.default_rng(2)
    distribution, rounding = quick_distribution(given, rng, DrawCumulants())
    if losses is None:
        losses = distribution.mean + rng.normal(size=SIZE) * np.sqrt(distribution.variance) + 2.5
    variance = np.maximum(distribution.variance + rounding**2, 1e-24)
    fit = Fit(losses, distribution, variance, expected_losses)
    found = [*closed_form_hypotheses(given), *fitted_hypotheses(given, fit)]
    rows = []
    for x in [*found, *other_meanings(given)]:
        row = [x.name, x.variant, x.number, float(x.price), x.fitted]
        if x.model.observed and x.model.added is None:
            of, _ = quick_distribution(
                x.model.at(slice(0, 1)), np.random.default_rng(0), DrawCumulants()
            )
            row += [float(of.mean[0]), float(of.variance[0])]
        rows.append(row)
    return rows


def report(losses, model=None, allowance=0.0, **options):
    """A report on losses, and on the test of the given model."""
    model, size = model or model_of(), len(losses)
    values = Losses(np.asarray(losses), np.full(size, allowance))
    found = try_hypotheses(model, values, np.random.default_rng(0), **options)
    test = ModelTest(model, values, np.random.default_rng(0))
    best = found.certain
    return {
        "rejected": found.rejected,
        "p": found.p,
        "score": found.score,
        "shift": [found.shift, found.shift_error],
        "certain": best and [best.hypothesis.name, best.hypothesis.variant],
        "explanations": [
            {
                "is": [x.hypothesis.name, x.hypothesis.variant, x.test.p_any],
                "probability": x.probability,
            }
            for x in found.explanations
        ],
        "ruled_out": list(found.ruled_out),
        "p of each": np.sort(test.p).tolist()[:4],
        "p of sums": [test.p_mean, test.p_spread, test.p_any],
        "log_likelihood": test.log_likelihood(test.allowance),
        "against": [
            test.against(ModelTest(x.model, values, np.random.default_rng(0), rough=True))
            for x in [*closed_form_hypotheses(model)][:6]
            if x.model.observed and x.model.added is None
        ],
    }


def drawn(seed=7, **changes):
    return elbo(np.random.default_rng(seed), **changes)


MODELS = {
    "beta": lambda: model_of(),
    "beta, two particles": lambda: model_of(num_particles=2),
    "beta, a prior that is held": lambda: model_of(prior_held=True),
    "beta, by mean and total": lambda: model_of(by_mean=("prior",), constrained=("prior",)),
    "beta, constrained": lambda: model_of(constrained=("prior", "guide")),
    "beta, concentrations below one": lambda: model_of(
        prior=np.array([0.4, 0.7]), own=np.full((2, 6), 0.9)
    ),
    "beta, several of each": lambda: model_of(counts=SEVERAL),
    "beta, single trials": lambda: model_of(counts=SINGLE),
    "beta, one latent of all": lambda: model_of(counts=SHARED),
    "beta, the same for all": lambda: model_of(own=np.full((2, 6), 4.0)),
    "beta, minibatches": lambda: model_of(batch=3, batch_scale=2.0),
    "beta, weighted": lambda: model_of(likelihood_weight=0.5, factor=2.0),
    "mean field": lambda: model_of(loss="trace_mean_field"),
    "a bound": lambda: model_of(loss=RenyiBound(0.0, 3)),
    "normal": lambda: model_of("normal"),
    "normal, mean field": lambda: model_of("normal", loss="trace_mean_field"),
    "delta": lambda: model_of("delta"),
    "none": lambda: model_of("none"),
    "empty": lambda: model_of("empty"),
    "tied": lambda: model_of("tied"),
    "sorted": lambda: model_of(
        counts=er.Counts(K[::-1], N[::-1]), own=posterior(), prior_held=True
    ),
}
REPORTS = {
    "right": lambda: report(drawn()),
    "right, not explained": lambda: report(drawn(), explained=False),
    "right, as printed": lambda: report(drawn().round(1), allowance=0.05),
    "negated": lambda: report(-drawn()),
    "without coefficients": lambda: report(drawn() + COUNTS.log_coefficient.sum()),
    "weighted": lambda: report(drawn(weight=0.2, size=40), model_of_size(40)),
    "many particles": lambda: report(drawn(particles=20, size=40), model_of_size(40)),
    "other rows": lambda: report(drawn(k=np.minimum(K, 1))),
    "added": lambda: report(drawn() + 3.1),
    "scaled": lambda: report(1.3 * drawn() - 4.0),
    "one that is impossible": lambda: report(np.where(np.arange(SIZE) == 11, 90.0, drawn())),
    "without spread": lambda: report(0 * drawn() + drawn().mean()),
    "of a point": lambda: report(points(), model_of("delta")),
    "of a point, negated": lambda: report(-points(), model_of("delta")),
    "of a point, off": lambda: report(points() + 0.3, model_of("delta")),
    "one loss": lambda: report(drawn()[:1] + 9.0, model_of_size(1)),
    "many losses": lambda: report(drawn(size=450), model_of_size(450)),
    "many losses, off": lambda: report(drawn(size=450) + 0.2, model_of_size(450)),
}


def model_of_size(size):
    given = model_of()
    return given._replace(
        prior=np.repeat(given.prior[:, :1], size, axis=1),
        guide_parameters=np.repeat(given.guide_parameters[:, :1], size, axis=1),
    )


def points():
    c = (K + 0.5) / (N + 1)
    return np.full(SIZE, -(stats.binom.logpmf(K, N, c) + stats.beta.logpdf(c, *PRIOR)).sum())


def given_draws(model, ends=False):
    """Losses of a model at draws, and their allowances; some draws at the ends of the precision."""
    latents = model.guide_parameters.shape[2]
    latents = len(model.counts) if model.batch is None else model.batch
    particles = model.renyi.num_samples if model.renyi else max(2, model.num_particles)
    c = np.random.default_rng(4).beta(2.0, 3.0, (3, particles, latents))
    if ends:
        c[0, 0, 0], c[1, 1, -1] = np.finfo(model.dtype).tiny, 1 - np.finfo(model.dtype).epsneg
    c = c.astype(model.dtype)
    logit = special.logit(c.astype(np.float64))
    at = model.at(np.arange(3))
    if model.batch is not None:
        at = at._replace(
            counts=er.Counts(K[:latents], N[:latents]),
            guide_parameters=at.guide_parameters[:, :, :latents],
        )
    found = losses_given(at, Draws(c, logit))
    return [found.values.tolist(), found.allowance.tolist()]


DRAWS = {
    "beta": lambda: given_draws(model_of()),
    "beta at the ends": lambda: given_draws(model_of(), ends=True),
    "beta in float32": lambda: given_draws(model_of()._replace(dtype="float32"), ends=True),
    "beta, weighted": lambda: given_draws(
        model_of(likelihood_weight=0.5, factor=2.0, constant=7.0)
    ),
    "beta by trials": lambda: given_draws(model_of(likelihood="trials"), ends=True),
    "beta by logits": lambda: given_draws(model_of(likelihood="logits"), ends=True),
    "beta by hand": lambda: given_draws(model_of(likelihood="by_hand"), ends=True),
    "beta of NumPyro": lambda: given_draws(model_of(numpyro=True), ends=True),
    "mean field": lambda: given_draws(model_of(loss="trace_mean_field")),
    "normal": lambda: given_draws(model_of("normal"), ends=True),
    "normal, mean field": lambda: given_draws(model_of("normal", loss="trace_mean_field")),
    "tied": lambda: given_draws(model_of("tied")),
    "empty": lambda: given_draws(model_of("empty")),
    **{
        f"a bound, {kind}": lambda kind=kind: given_draws(
            model_of(loss=RenyiBound(0.3, 3), bound=kind, batch_scale=1.5)
        )
        for kind in ("each", "scaled_after", "mixed", "together")
    },
}

CASES = {
    **{f"given draws of {name}": made for name, made in DRAWS.items()},
    **{f"hypotheses of {name}": lambda made=made: hypotheses(made()) for name, made in
       MODELS.items()},
    **{f"report on {name}": made for name, made in REPORTS.items()},
}  # fmt: skip


@pytest.mark.parametrize("name", few(CASES, 3))
def test_as_it_was(name):
    golden.check(f"losses: {name}", CASES[name](), searched=True)


def test_a_price_that_changes_is_noticed():
    """Negative control."""
    rows = hypotheses(model_of("tied"))
    other = [[*row[:3], row[3] + 1e-3, *row[4:]] for row in rows]
    assert golden.differences(rows, rows) == []
    assert len(golden.differences(other, rows)) == len(rows)
