"""One browser for the pages that the commands write; see `browsing`."""

import importlib

import pytest

from browsing import browsing, missing


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    for name in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            missing(name)
    with browsing(tmp_path_factory.mktemp("profile")) as open_browser:
        yield open_browser
