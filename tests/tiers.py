"""Which cases of a parametrized test the default tier runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def few(values: Iterable[Any], first: int = 1) -> list[Any]:
    """The same values, those after the `first` ones marked `thorough`.

    A row of several values is a tuple, as `pytest.mark.parametrize` takes it.
    """
    values = list(values)
    rest = [
        pytest.param(*(x if isinstance(x, tuple) else (x,)), marks=pytest.mark.thorough)
        for x in values[first:]
    ]
    return values[:first] + rest
