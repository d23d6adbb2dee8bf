"""Terminals and notebooks, text in colours, and streams that nobody reads any more."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO


def has_colours(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal that shows colours, and nobody minds (NO_COLOR)."""
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return not plain and stream.isatty()


def in_notebook() -> bool:
    """Tell whether this is a cell of a notebook."""
    python = sys.modules.get("IPython")
    shell = None if python is None else python.get_ipython()
    return getattr(shell, "kernel", None) is not None


def painted(text: str, colour: str) -> str:
    r"""Put the escapes of a colour, a number of ECMA-48, around a text.

    Examples
    --------
    >>> painted("fine", "32")
    '\x1b[32mfine\x1b[0m'
    """
    return f"\x1b[{colour}m{text}\x1b[0m"


def abandon(stream: TextIO) -> None:
    """Drop the rest of a stream, so that the interpreter does not try again as it ends."""
    with suppress(io.UnsupportedOperation), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
