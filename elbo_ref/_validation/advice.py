"""Errors that end with what to add: to a call of Python, or to a command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Option: TypeAlias = str | tuple[str, ...]

_MOST = 60
"""Characters of a name that are shown."""


class AdvisedError(ValueError):
    """Data that are refused, with the options by which they would not be.

    Parameters
    ----------
    text : str
        The place, and what is wrong there.
    when : str
        The condition under which the options help, as "if these are failures".
    **options
        Names and values of arguments to add to the call.

    Examples
    --------
    >>> error = AdvisedError("column 'k' has no value in 1 of 3 rows", na="drop")
    >>> print(error)
    column 'k' has no value in 1 of 3 rows; add na="drop"
    >>> print(error.for_command())
    column 'k' has no value in 1 of 3 rows; add --na drop
    """

    def __init__(self, text: str, *, when: str = "", **options: Option) -> None:
        self.text, self.when, self.options = text, when, options
        super().__init__(self._with(as_arguments(options)))

    def for_command(self) -> str:
        """Return the message with options of a command."""
        return self._with(as_flags(self.options))

    def _with(self, options: str) -> str:
        condition = f"{self.when}, " if self.when else ""
        return f"{self.text}; {condition}add {options}" if options else self.text


def as_arguments(options: Mapping[str, Option]) -> str:
    """Write options as the arguments of a call, strings in double quotes."""
    return ", ".join(f"{name}={_value(value)}" for name, value in options.items())


def as_flags(options: Mapping[str, Option]) -> str:
    """Write options as a command has them."""
    return " ".join(
        f"--{x.replace('_', '-')} {shlex.quote(y if isinstance(y, str) else ','.join(y))}"
        for x, y in options.items()
    )


def _value(option: Option) -> str:
    if isinstance(option, str):
        return quoted(option)
    return f"({', '.join(map(quoted, option))})"


def quoted(text: str) -> str:
    r"""Write a text as Python does, in double quotes, on one line and shortened.

    Examples
    --------
    >>> print(quoted("at bats"), quoted('a "b"'))
    "at bats" 'a "b"'
    """
    shown = repr(text)
    if len(shown) > _MOST:
        shown = f"{shown[:_MOST]}...{shown[-1]}"
    return f'"{shown[1:-1]}"' if shown[0] == "'" and '"' not in shown else shown


def listed(names: Sequence[str]) -> str:
    """Write names one after another, as many as fit.

    Examples
    --------
    >>> print(listed(["k", "n"]))
    "k", "n"
    """
    shown = [quoted(name) for name in names[:20]]
    while len(", ".join(shown)) > 2 * _MOST and len(shown) > 1:
        shown.pop()
    more = [f"{len(names) - len(shown)} more"] if len(names) > len(shown) else []
    return " and ".join([", ".join(shown) or "none", *more])
