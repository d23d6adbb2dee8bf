"""Which cases of a parametrized test the default tier runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def few(values: Iterable[Any], first: int = 1) -> list[Any]:
    """The same values, those after the `first` ones marked `thorough`.

    A row of values is a tuple, as `pytest.mark.parametrize` takes it; so is one value that is a
    tuple itself.
    """
    rows = [x if isinstance(x, tuple) else (x,) for x in values]
    return [
        pytest.param(*row, marks=[pytest.mark.thorough] if i >= first else [])
        for i, row in enumerate(rows)
    ]
