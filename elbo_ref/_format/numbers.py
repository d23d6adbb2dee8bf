"""Numbers, names and distributions as text, for sentences and tables, and as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from elbo_ref._validation.arguments import FloatArray
from elbo_ref._validation.values import Pair

_LEAST_P = 1e-12


def number(value: float | FloatArray | None) -> str:
    """Write five significant digits, and no minus sign on zero."""
    return f"{float(value) + 0.0:.5g}"  # type: ignore[arg-type]


def p_value(p: float) -> str:
    """Write a p-value, or that it is below all that could be meant.

    Examples
    --------
    >>> p_value(0.25), p_value(0.0)
    ('p = 0.25', 'p < 1e-12')
    """
    return f"p = {number(p)}" if p >= _LEAST_P else f"p < {_LEAST_P:g}"


def some_of(names: Sequence[str], most: int = 6) -> str:
    """List names, or the first of many.

    Examples
    --------
    >>> some_of(["a", "b"]), some_of(["a", "b", "c", "d"], 2)
    ('a, b', 'a, b and 2 more')
    """
    return ", ".join(names[:most]) + f" and {len(names) - most} more" * (len(names) > most)


def counted(number: int, noun: str) -> str:
    """Write a number of things.

    Examples
    --------
    >>> counted(1, "latent"), counted(3, "latent")
    ('1 latent', '3 latents')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def describe(prior: Pair) -> str:
    """Write a single Beta in five digits."""
    a, b = (number(x.item()) for x in prior.arrays())
    return f"Beta({a}, {b})"


def pair(value: Pair) -> dict[str, Any]:
    """Return a Beta of any shape as plain values, by name."""
    a, b = value.arrays()
    return {"concentration1": a.tolist(), "concentration0": b.tolist()}
