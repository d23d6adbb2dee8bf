"""Benchmarks find everything that they import, with what PyTorch's environment has."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.live
FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_a_benchmark_can_be_imported(name, monkeypatch):
    """No name of this package that it asks for has moved; what is not installed is not asked."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("elbo_ref"):
            raise
        pytest.skip(f"needs {error.name}")
    finally:
        for module in set(sys.modules) - before:
            if str(FOLDER) in str(getattr(sys.modules[module], "__file__", "")):
                del sys.modules[module]
