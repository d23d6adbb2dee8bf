"""Settings of all tests, and files for them to read."""

import sys

import pytest
from hypothesis import settings

settings.register_profile("fixed", deadline=None, derandomize=True)
settings.load_profile("fixed")


@pytest.fixture
def write(tmp_path):
    """Put text or bytes into a file; its path."""

    def put(content, name="counts.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return put


@pytest.fixture(autouse=True)
def no_figures():
    """Close the figures that pyplot knows, once some test has imported it."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
