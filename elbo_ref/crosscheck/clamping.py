"""Draws of c that the run's own arithmetic clamps, and the forms of losses that see them.

A Beta whose draws are clamped takes a quadrature over its draw (`elbo_ref.crosscheck.cumulants`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.arithmetic import probability_ends
from elbo_ref.crosscheck.linear_form import LinearForm
from elbo_ref.distributions.beta_source import BETA

STEPS, _MOST_NODES = 160, 30_000_000
"""Nodes of a quadrature over a draw; of all of them."""
_RARE = 1e-2
"""Expected number of clamped draws, in all losses, below which none is taken to be."""


def clamped_draws(form: LinearForm) -> FloatArray:
    """Count the draws of c that are clamped, in expectation, (G,); inf if that is not known."""
    if form.source is not BETA:
        return np.full(len(form.model.counts), np.inf)
    return np.asarray(_at_ends(form).sum(axis=0))


def _at_ends(form: LinearForm) -> FloatArray:
    """Count the draws from a Beta that are clamped at 0 and at 1, in expectation, (2, G)."""
    ends, (a, b) = probability_ends(form.model.dtype), form.parameters
    each = np.array((sc.betainc(a, b, ends.low), sc.betainc(b, a, ends.gap)))
    return np.asarray(form.model.num_particles * each.sum(axis=1) * form.task.weights)


def needs_nodes(form: LinearForm) -> NDArray[np.bool_]:
    """Entries that take a quadrature, (G,)."""
    size = len(form.model.counts)
    if form.source is not BETA or not form.model.clamped:
        return np.full(size, form.source is not BETA)
    affordable = form.parameters.size * STEPS <= _MOST_NODES
    some: NDArray[np.bool_] = clamped_draws(form) > _RARE / size
    return some & affordable


def form_at_nodes(form: LinearForm, chosen: NDArray[np.bool_], logit: FloatArray) -> FloatArray:
    """Chosen entries of a form at nodes, (T, G, nodes).

    At an end of a Beta that no draw comes near, nothing is clamped: that would not be seen, and yet
    may be all that E exp(s X) is of at a moderate s.
    """
    arrays = [x[:, :, chosen, None] for x in (form.tilt, form.likelihood, form.parameters)]
    values = form.at_draws(logit, *arrays)
    if form.source is not BETA or not form.model.clamped:
        return values
    free = form._replace(model=form.model._replace(clamped=False)).at_draws(logit, *arrays)
    low, high = _at_ends(form)[:, chosen, None] <= _RARE / (2 * len(form.model.counts))
    return np.where(np.where(logit < 0, low, high), free, values)
