"""Draws of latents as ArviZ's `DataTree`: posterior, prior, observed data, log likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref._validation.extras import need

LATENT = "latent"
"""The dimension of the latents."""


def data_tree(
    posterior: FloatArray,
    prior: FloatArray,
    successes: IntArray,
    total_count: IntArray,
    log_coefficient: FloatArray,
    labels: Sequence[Any],
) -> Any:
    """Make the tree of draws, of shape (chains, draws, G) each, on the logit scale.

    Raises
    ------
    ImportError
        Without ``arviz-base``.
    """
    from_dict = need("arviz_base", "to_arviz").from_dict
    k, n = successes, total_count
    # c^K (1 - c)^(N - K) from the logit: no draw is rounded to 0 or 1 before its logarithm
    with np.errstate(invalid="ignore"):  # of 0 times infinity, at a c of 0 or 1
        parts = k * np.logaddexp(0, -posterior), (n - k) * np.logaddexp(0, posterior)
    heights = log_coefficient - np.where(k > 0, parts[0], 0) - np.where(n > k, parts[1], 0)
    groups = {
        "posterior": {"c": expit(posterior)},
        "prior": {"c": expit(prior)},
        "observed_data": {"successes": k},
        "constant_data": {"total_count": n},
        "log_likelihood": {"successes": heights},
    }
    dims = {name: [LATENT] for name in ("c", "successes", "total_count")}
    return from_dict(groups, coords={LATENT: _coordinate(labels)}, dims=dims)


def expit(logits: FloatArray) -> FloatArray:
    """Turn logits into probabilities."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -logits)))


def _coordinate(labels: Sequence[Any]) -> Any:
    """Return labels of one type as they are, others as text."""
    kinds = set(map(type, labels))
    plain = len(kinds) == 1 and issubclass(next(iter(kinds)), bool | int | float | str | np.generic)
    return np.array(labels if plain else list(map(str, labels)))
