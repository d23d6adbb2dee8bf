"""Errors that end with what to add: to a call of Python, or to a command."""

from __future__ import annotations

import shlex


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

    def __init__(self, text: str, *, when: str = "", **options: str) -> None:
        self.text, self.when, self.options = text, when, options
        super().__init__(self._with(as_arguments(options)))

    def for_command(self) -> str:
        """Return the message with options of a command."""
        return self._with(as_flags(self.options))

    def _with(self, options: str) -> str:
        condition = f"{self.when}, " if self.when else ""
        return f"{self.text}; {condition}add {options}" if options else self.text


def as_arguments(options: dict[str, str]) -> str:
    """Write options as the arguments of a call, strings in double quotes."""
    return ", ".join(f"{name}={quoted(value)}" for name, value in options.items())


def as_flags(options: dict[str, str]) -> str:
    """Write options as a command has them."""
    return " ".join(f"--{x.replace('_', '-')} {shlex.quote(y)}" for x, y in options.items())


def quoted(text: str) -> str:
    r"""Write a text as Python does, in double quotes, on one line and shortened.

    Examples
    --------
    >>> print(quoted("at bats"), quoted('a "b"'))
    "at bats" 'a "b"'
    """
    shown = repr(text if len(text) <= 60 else f"{text[:60]}...")
    return f'"{shown[1:-1]}"' if shown[0] == "'" and '"' not in shown else shown
