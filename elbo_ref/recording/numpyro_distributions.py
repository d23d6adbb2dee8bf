"""Notes on a distribution of NumPyro, and the same with its arguments shifted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elbo_ref.recording.distribution_kinds import (
    PAIRS,
    UNIFORM,
    WRAPPERS,
    is_unit_interval,
    known_class,
    unwrapped,
)
from elbo_ref.svi.parameters import NAMES

_ARGUMENTS = {"Beta": NAMES, "BetaBinomial": NAMES, "Normal": ("loc", "scale"), "Delta": ("v",)}
"""By class, the arguments that are shifted."""


def arguments_of(fn: Any, kind: str) -> dict[str, Any]:
    """List the arguments of a distribution that are noted, in floating point."""
    import jax.numpy as jnp

    found: dict[str, Any] = {}
    if kind in ("Beta", "BetaBinomial"):
        found = {name: getattr(fn, name) for name in NAMES}
    elif kind in ("DirichletOfTwo", "DirichletMultinomial"):
        found = {name: fn.concentration[..., i] for i, name in enumerate(NAMES)}
    elif kind in UNIFORM:
        found = dict.fromkeys(NAMES, 1.0) if is_unit_interval(fn.support) else {}
    elif kind == "Normal":
        found = {"loc": fn.loc, "scale": fn.scale}
    elif kind == "TransformedDistribution":
        inner, kind = unwrapped(fn.base_dist)
        elementwise = kind == "Normal" and tuple(fn.base_dist.shape()) == tuple(fn.shape())
        return arguments_of(inner, kind) if elementwise else {}
    elif kind == "Delta":
        found = {"v": fn.v}
    return {name: jnp.asarray(x, jnp.result_type(x, float)) for name, x in found.items()}


def probability_of(fn: Any, kind: str) -> tuple[Any, bool]:
    """Find the probability of a success, or its logit."""
    if kind in ("Categorical", "Multinomial"):
        return fn.probs[..., 0], False
    if kind not in ("Binomial", "Bernoulli"):
        return None, False
    if type(fn).__name__.endswith("Logits"):
        return fn.logits, True
    return fn.probs, False


def mask_of(fn: Any) -> Any:
    """Join the masks of a site, each over its events; None if there is none."""
    import jax.numpy as jnp

    joined = None
    while type(fn).__name__ in WRAPPERS:
        if type(fn).__name__ == "MaskedDistribution":
            kind = unwrapped(fn)[1]
            events = len(fn.event_shape) - (kind in PAIRS)
            mask = jnp.asarray(fn._mask)
            mask = mask.reshape(mask.shape + (1,) * events)
            joined = mask if joined is None else joined & mask
        fn = fn.base_dist
    return joined


def shift(fn: Any, by: Mapping[str, Any]) -> Any:
    """Add to the arguments of a distribution, in the shape of all its elements."""
    import jax.numpy as jnp
    from numpyro import distributions as dist

    name = type(fn).__name__
    if name == "ExpandedDistribution":
        return shift(fn.base_dist, by)
    if name == "Independent":
        return dist.Independent(shift(fn.base_dist, by), fn.reinterpreted_batch_ndims)
    if name == "MaskedDistribution":
        return dist.MaskedDistribution(shift(fn.base_dist, by), fn._mask)
    if name == "TransformedDistribution":
        return dist.TransformedDistribution(shift(fn.base_dist, by), fn.transforms)
    options, kind = {"validate_args": False}, known_class(fn)
    if kind in ("Dirichlet", "DirichletMultinomial"):
        (zero, *_) = (jnp.zeros_like(x) for x in by.values())
        pair = fn.concentration + jnp.stack([by.get(key, zero) for key in NAMES], axis=-1)
        if kind == "Dirichlet":
            return dist.Dirichlet(pair, **options)
        return dist.DirichletMultinomial(pair, fn.total_count, **options)
    moved = {key: getattr(fn, key) + by.get(key, 0.0) for key in _ARGUMENTS[kind]}
    if kind == "BetaBinomial":
        return dist.BetaBinomial(**moved, total_count=fn.total_count, **options)
    if kind == "Delta":
        return dist.Delta(moved["v"], fn.log_density, event_dim=fn.event_dim, **options)
    return getattr(dist, kind)(**moved, **options)
