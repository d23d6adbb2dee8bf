"""Examples of docstrings that need a package which is not installed are skipped."""

import re
from importlib.util import find_spec

import pytest


def pytest_collection_modifyitems(items):
    """Mark such examples."""
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            source = "".join(example.source for example in item.dtest.examples)
            names = re.findall(r"^import (\w+)", source, re.MULTILINE)
            missing = [name for name in names if find_spec(name) is None]
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)}"))
