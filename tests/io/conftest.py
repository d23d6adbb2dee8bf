"""Files for the tests of the readers, and the size of their blocks."""

import pytest

from elbo_ref.io import stream


@pytest.fixture(scope="module")
def one_file(tmp_path_factory):
    return tmp_path_factory.mktemp("tables") / "counts.csv"


@pytest.fixture
def small_blocks(monkeypatch):
    return lambda size: monkeypatch.setattr(stream, "_BLOCK_BYTES", size)
