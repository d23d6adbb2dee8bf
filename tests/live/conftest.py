"""Live tests ask PyTorch and Pyro themselves, in float64.

Nothing here imports them: a test asks for the fixture `torch` or `pyro`. Where one is not
installed the test is skipped, unless ELBO_REF_REQUIRE_LIVE=1 says that it must be there.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType

import pytest


def _require(*modules: str) -> ModuleType:
    """Import all of them and return the first; skip, or fail, if one is not installed."""
    try:
        first, *_ = [importlib.import_module(module) for module in modules]
        return first
    except ModuleNotFoundError as error:
        if error.name not in modules:
            raise
        missing = f"{error.name} is not installed"
    if os.environ.get("ELBO_REF_REQUIRE_LIVE") == "1":
        pytest.fail(f"{missing}, and ELBO_REF_REQUIRE_LIVE=1")
    pytest.skip(missing)


@pytest.fixture(scope="session")
def require():
    return _require


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    module = _require("torch")
    module.set_num_threads(1)
    return module


@pytest.fixture(scope="session")
def pyro(torch: ModuleType) -> ModuleType:
    return _require("pyro", "pyro.infer", "pyro.optim", "pyro.optim.clipped_adam")
