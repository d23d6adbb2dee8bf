"""The mistakes that a cross-check can name.

A mistake that losses can betray is a record of the loss models that it makes of a given one: in
*closed form*, where nothing is left open, and *fitted*, where one number is fitted to the losses.
Each is a hypothesis, tested as the given model is: by the distribution that it implies of every
loss (`elbo_ref.crosscheck.hypothesis_test`). Nothing is concluded from a residual that merely looks
like something.

A mistake is invisible where its loss model equals the given one: a swap in symmetric parameters,
counts without a success, a division by one. Such a model is no hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from elbo_ref.crosscheck import data_variants, fitted_variants, prior_variants, variants
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.variants import Fit, Hypothesis


def _none(_given: LossModel, *_fit: Fit) -> Iterator[Hypothesis]:
    return iter(())


def _either(
    *makers: Callable[..., Iterator[Hypothesis]],
) -> Callable[..., Iterator[Hypothesis]]:
    """Join the hypotheses of several makers."""

    def joined(given: LossModel, *fit: Fit) -> Iterator[Hypothesis]:
        for maker in makers:
            yield from maker(given, *fit)

    return joined


class Mistake(NamedTuple):
    """A mistake and the loss models that it makes of a given one.

    Attributes
    ----------
    name : str
    meaning : str
        One clause about the run.
    closed_form : callable
        Hypotheses of a given model in which nothing is left open.
    fitted : callable
        Hypotheses of a given model and a `Fit` with one number fitted.
    price : float
        Log-likelihood penalty of that number beside its precision's: 3 for a constant, a factor or
        parameters of another time that nothing explains, 2 for a weight or minibatches that nobody
        mentioned.
    open_ended : bool
        Whether there are other ways to make it than these: no data, orders of rows, guides or
        priors can all be tried.
    """

    name: str
    meaning: str
    closed_form: Callable[[LossModel], Iterator[Hypothesis]] = _none
    fitted: Callable[[LossModel, Fit], Iterator[Hypothesis]] = _none
    price: float = 0.0
    open_ended: bool = False


def excluded_names(
    tried: Collection[tuple[Hypothesis, bool]], *, exact: bool = False
) -> tuple[str, ...]:
    """Return the mistakes that losses exclude, given hypotheses and whether losses fit them.

    One is excluded if none of its hypotheses fits and there are no others; or if losses have no
    noise and agree, so that nothing but an `exact` coincidence would give the same.
    """
    fitting = {x.name for x, fits in tried if fits or x.number == "prior"}
    names = dict.fromkeys(x.name for x, _ in tried if x.name not in fitting)
    return tuple(name for name in names if exact or not MISTAKES[name].open_ended)


def closed_form_hypotheses(given: LossModel) -> list[Hypothesis]:
    """List the hypotheses with nothing to fit that differ from the given model."""
    hypotheses: list[Hypothesis] = []
    for mistake in MISTAKES.values():
        differing: list[Hypothesis] = []
        for x in mistake.closed_form(given):
            if not any(x.model.equals(y.model) for y in differing) and not x.model.equals(given):
                differing.append(x)
        price = float(np.log(max(len(differing), 1)))
        hypotheses += [x._replace(name=mistake.name, price=x.price + price) for x in differing]
    return hypotheses


def fitted_hypotheses(given: LossModel, fit: Fit) -> list[Hypothesis]:
    """List the hypotheses with one number fitted that differ from the given model."""
    return [
        x._replace(name=mistake.name, fitted=True, price=mistake.price + x.price)
        for mistake in MISTAKES.values()
        for x in mistake.fitted(given, fit)
        if not x.model.equals(given)
    ]


MISTAKES: dict[str, Mistake] = {
    mistake.name: mistake
    for mistake in (
        Mistake(
            "swapped_concentrations",
            "concentration1 and concentration0 are exchanged",
            variants.swapped,
        ),
        Mistake(
            "mixed_roles",
            "a number stands where another belongs: a mean and a total for two concentrations, a "
            "variance for a scale",
            _either(variants.mixed_roles, variants.other_measures),
        ),
        Mistake(
            "latent_not_in_guide",
            "the guide does not sample the latent: what is maximised is no ELBO",
            variants.not_in_guide,
        ),
        Mistake("wrong_sign", "the numbers are ELBOs, not losses", variants.negated),
        Mistake(
            "normalised_loss",
            "the losses are divided or multiplied by a number",
            variants.divided,
            fitted_variants.fitted_divisor,
            price=3.0,
        ),
        Mistake(
            "unexplained_constant",
            "a constant separates the losses from what they should be",
            variants.other_coefficients,
            fitted_variants.fitted_constant,
            price=3.0,
        ),
        Mistake(
            "wrong_latents",
            "one latent for all rows where one per row was meant, or the reverse",
            data_variants.other_latents,
            open_ended=True,
        ),
        Mistake(
            "unconstrained_values",
            "the parameters are the unconstrained ones",
            _either(variants.unconstrained, variants.constrained_again),
        ),
        Mistake(
            "subsample_unscaled",
            "minibatches are not scaled up to all the data",
            partial(variants.batch_scaled, twice=False),
            partial(fitted_variants.fitted_batch, twice=False),
            price=2.0,
        ),
        Mistake(
            "subsample_scaled_twice",
            "minibatches are scaled up twice",
            partial(variants.batch_scaled, twice=True),
            partial(fitted_variants.fitted_batch, twice=True),
            price=2.0,
        ),
        Mistake(
            "wrong_total_count",
            "the total counts are others than the data's",
            _either(data_variants.largest_totals, data_variants.other_totals),
            fitted_variants.fitted_totals,
            open_ended=True,
        ),
        Mistake(
            "wrong_counts",
            "the rows observed are others than the counts",
            data_variants.other_rows,
            open_ended=True,
        ),
        Mistake(
            "permuted_rows",
            "the rows stand in another order than the parameters",
            data_variants.permuted,
            open_ended=True,
        ),
        Mistake(
            "observations_missing",
            "the observed site has no observations: obs= was left out",
            data_variants.unobserved,
        ),
        Mistake(
            "broadcast_observations",
            "every latent is held against the rows of all others",
            data_variants.broadcast,
        ),
        Mistake(
            "other_objective",
            "the losses are those of another ELBO",
            variants.other_objective,
            open_ended=True,
        ),
        Mistake("shared_parameter", "model and guide share a parameter under one name"),
        Mistake(
            "mixed_parameters",
            "prior and guide are of different times or runs",
            fitted=_either(
                partial(prior_variants.fitted_prior, held=False), prior_variants.fitted_guide
            ),
            price=3.0,
            open_ended=True,
        ),
        Mistake(
            "likelihood_weight",
            "the likelihood counts with another weight than one, or the divergence does "
            "(annealing)",
            variants.weighted,
            fitted_variants.fitted_weight,
            price=2.0,
        ),
        Mistake(
            "wrong_num_particles",
            "a loss is the mean of another number of particles",
            fitted=fitted_variants.fitted_particles,
        ),
        Mistake("smoothed_losses", "each loss is a mean over several steps"),
        Mistake(
            "wrong_fixed_prior",
            "the prior that is held is another than the run's",
            variants.held_prior,
            _either(prior_variants.round_priors, partial(prior_variants.fitted_prior, held=True)),
            open_ended=True,
        ),
        Mistake(
            "stale_history",
            "every row of the history is the last one: the arrays were kept without a copy",
        ),
        Mistake("parameters_reset", "every step begins where the one before began"),
        Mistake("another_guide", "the guide is another than it was said to be"),
        Mistake("another_loss", "the loss is another than it was said to be"),
        Mistake("guide_at_constraint", "the guide's parameters are at an end of their constraint"),
        Mistake("float32_saturation", "draws sit at the ends of what float32 can hold"),
        Mistake("optimizer_settings", "the steps are not those of this optimizer"),
        Mistake("learning_rate_decay", "the learning rate does not stay what it was"),
        Mistake("gradient_detached", "a parameter does not receive or follow its gradient"),
        Mistake("gradient_scaled", "the gradients are multiplied by a number"),
        Mistake("gradient_estimator", "the gradients are those of another estimator"),
        Mistake("gradient_mismatch", "the gradients do not follow from these draws"),
        Mistake("kernel_error", "PyTorch's approximate Beta gradient matters here"),
        Mistake("not_finite", "the run is not finite any more"),
        Mistake("loss_mismatch", "the losses do not follow from these parameters"),
        Mistake("draw_mismatch", "the draws do not follow from these parameters"),
        Mistake("repeated_draws", "the same random draws come back"),
    )
}
"""Every mistake by name, in the order in which hypotheses are tested."""
