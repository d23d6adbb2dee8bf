"""Numbers and distributions as the sentences and tables write them."""

from __future__ import annotations

from elbo_ref.arguments import FloatArray
from elbo_ref.beta import Beta


def number(value: float | FloatArray | None) -> str:
    """Five significant digits, and no minus sign on zero."""
    return f"{float(value) + 0.0:.5g}"  # type: ignore[arg-type]


def describe(prior: Beta) -> str:
    """A scalar Beta in five digits."""
    return f"Beta({number(prior.concentration1)}, {number(prior.concentration0)})"
