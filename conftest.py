"""Settings of all tests and doctests; examples whose package is not installed are skipped."""

import gc
import re
from importlib.util import find_spec

import pytest

gc.set_threshold(50_000, 20, 20)
"""Millions of nodes that stay are made before the first test: seldom enough to look for others."""


def pytest_collection_modifyitems(items):
    """Mark such examples."""
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            source = "".join(example.source for example in item.dtest.examples)
            names = re.findall(r"^import (\w+)", source, re.MULTILINE)
            missing = [name for name in names if find_spec(name) is None]
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)}"))


def pytest_collection_finish():
    """Leave what was collected out of further searches for garbage."""
    gc.freeze()
