"""Kinds of distributions that are a Beta or observe trials of one, under whatever name.

A Dirichlet of two is a Beta, as is a Uniform or an ImproperUniform on (0, 1), a mean with a
concentration (NumPyro's BetaProportion) and a Beta that is moved by nothing (AffineBeta with loc 0
and scale 1). A Categorical and a OneHotCategorical of two are a Bernoulli, a Multinomial of two is
a Binomial, a DirichletMultinomial of two a BetaBinomial.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

WRAPPERS = ("Independent", "ExpandedDistribution", "MaskedDistribution")
"""Classes of distributions around another one."""

ROWS = (
    "Binomial",
    "Bernoulli",
    "BetaBinomial",
    "Categorical",
    "OneHotCategorical",
    "Multinomial",
    "DirichletMultinomial",
)
"""Classes of sites whose values are counts or single trials."""

TRIALS = ("Bernoulli", "Categorical", "OneHotCategorical")
"""Those of single trials."""

MARGINAL = ("BetaBinomial", "DirichletMultinomial")
"""Those in which the latent is summed out."""

OF_COUNTS = ("OneHotCategorical", "Multinomial", "DirichletMultinomial")
"""Those whose value has a count for each outcome."""

OF_SEVERAL = ("Categorical", *OF_COUNTS)
"""Those that may have more than two outcomes."""

PAIRS = ("DirichletOfTwo", *OF_COUNTS)
"""Kinds whose event is a pair, of which the first is kept."""

UNIFORM = ("Uniform", "ImproperUniform")

KNOWN = {"Beta", "Dirichlet", *UNIFORM, "Normal", "Delta", *ROWS}
"""Classes that are recognised in what derives from them, too."""


def known_class(fn: Any) -> str:
    """Name the first class of a distribution, or of those it derives from, that is known here.

    Examples
    --------
    >>> class BinomialLogits: ...
    >>> class Beta: ...
    >>> class BetaProportion(Beta): ...
    >>> known_class(BinomialLogits()), known_class(BetaProportion()), known_class(1.0)
    ('Binomial', 'Beta', 'float')
    """
    names = [x.__name__.removesuffix("Probs").removesuffix("Logits") for x in type(fn).__mro__]
    return next((name for name in names if name in KNOWN), names[0])


def unwrapped(fn: Any) -> tuple[Any, str]:
    """Unwrap a distribution, and say what it is to be taken for."""
    while type(fn).__name__ in WRAPPERS or _changes_nothing(fn):
        fn = fn.base_dist
    kind = known_class(fn)
    if kind == "Dirichlet" and fn.event_shape[-1] == 2:
        return fn, "DirichletOfTwo"
    if kind == "Categorical" and fn.probs.shape[-1] != 2:
        return fn, "CategoricalOfMany"
    if kind in OF_COUNTS and fn.event_shape[-1] != 2:
        return fn, f"{kind}OfMany"
    return fn, kind


def _changes_nothing(fn: Any) -> bool:
    """Tell whether a distribution is another one, moved by 0 and stretched by 1."""
    transforms = getattr(fn, "transforms", None)
    if transforms is None or not hasattr(fn, "base_dist"):
        return False
    return all(
        type(x).__name__ == "AffineTransform" and is_all(x.loc, 0) and is_all(x.scale, 1)
        for x in transforms
    )


def is_unit_interval(support: Any) -> bool:
    """Tell whether a support is that between 0 and 1, element by element."""
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    ends = (getattr(support, x, None) for x in ("lower_bound", "upper_bound"))
    return all(is_all(x, wanted) for x, wanted in zip(ends, (0, 1), strict=True))


def is_all(x: Any, wanted: float) -> bool:
    """Tell whether values are known, not learned, and all equal to a number."""
    if x is None or getattr(x, "requires_grad", False):
        return False
    with suppress(TypeError):  # of a value that JAX is tracing
        return bool(np.all(np.asarray(x) == wanted))
    return False
