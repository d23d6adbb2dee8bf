"""Notes on a distribution of Pyro: its arguments, counts, probability and mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from elbo_ref.recording.distribution_kinds import (
    OF_COUNTS,
    UNIFORM,
    WRAPPERS,
    is_unit_interval,
    unwrapped,
)
from elbo_ref.svi.parameters import NAMES

_PAIR_OF = {
    "Beta": lambda fn: fn._dirichlet.concentration,
    "DirichletOfTwo": lambda fn: fn.concentration,
    "BetaBinomial": lambda fn: fn._beta._dirichlet.concentration,
    "DirichletMultinomial": lambda fn: fn._dirichlet.concentration,
}
"""By kind, the tensor that has both concentrations on its last axis."""


class Argument(NamedTuple):
    """An argument of a distribution: its value, and the tensor that has its gradient.

    `column` is its place on the last axis of that tensor; None if it is all of it.
    """

    value: Any
    tensor: Any
    column: int | None = None


def arguments_of(fn: Any, kind: str) -> Mapping[str, Argument]:
    """List the arguments of a distribution that are noted."""
    if kind in _PAIR_OF:
        pair = _PAIR_OF[kind](fn)
        return {name: Argument(pair[..., i], pair, i) for i, name in enumerate(NAMES)}
    if kind in UNIFORM:
        import torch

        one = torch.ones(())
        return {name: Argument(one, one) for name in NAMES} if is_unit_interval(fn.support) else {}
    if kind == "Normal":
        return {"loc": Argument(fn.loc, fn.loc), "scale": Argument(fn.scale, fn.scale)}
    if kind == "TransformedDistribution":
        inner, kind = unwrapped(fn.base_dist)
        return arguments_of(inner, kind) if kind == "Normal" else {}
    if kind == "Delta" and hasattr(fn.v, "requires_grad"):
        return {"v": Argument(fn.v, fn.v)}
    return {}


def probability_of(fn: Any, kind: str) -> tuple[Any, bool]:
    """Find the probability of a success, or its logit."""
    if kind in ("Categorical", "OneHotCategorical", "Multinomial"):
        return fn.probs[..., 0], False
    if kind not in ("Binomial", "Bernoulli"):
        return None, False
    if "probs" in vars(fn):
        return fn.probs, False
    return fn.logits, True


def counts_of(fn: Any, kind: str, value: Any) -> tuple[Any, Any]:
    """Return the successes and the total count that a log probability is of.

    Of several outcomes the probability has the sum of the values, whatever `total_count` says.
    """
    if kind in OF_COUNTS:
        return value[..., 0], value.sum(-1)
    if kind == "Categorical":
        value = 1 - value
    total = getattr(fn, "total_count", None)
    if total is None:
        total = value.new_ones(())
    elif not hasattr(total, "shape"):
        total = value.new_full((), total)
    return value, total


def mask_of(fn: Any, mask: Any) -> Any:
    """Join the masks of a site; None if there is none."""
    masks = [] if mask is None else [mask]
    while type(fn).__name__ in WRAPPERS:
        if type(fn).__name__ == "MaskedDistribution":
            masks.append(fn._mask)
        fn = fn.base_dist
    if not masks:
        return None
    import torch

    joined = torch.as_tensor(masks[0])
    for other in masks[1:]:
        joined = joined & torch.as_tensor(other)
    return joined
