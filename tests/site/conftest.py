"""The site as it was built: its folder is in ELBO_REF_SITE; without it these tests are skipped.

sphinx-build -W --keep-going -q docs SITE
ELBO_REF_SITE=SITE python -m pytest -m "" tests/site
"""

import os
from pathlib import Path

import pytest

from browsing import browsing

SITE = os.environ.get("ELBO_REF_SITE")
FOLDER = Path(SITE).resolve() if SITE else None
PAGES = sorted(x.relative_to(FOLDER).as_posix() for x in FOLDER.rglob("*.html")) if FOLDER else []


@pytest.fixture(params=PAGES)
def page(request):
    return request.param


@pytest.fixture(scope="session")
def site():
    if FOLDER is None:
        pytest.skip("ELBO_REF_SITE does not say where the site was built")
    return FOLDER


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    with browsing(tmp_path_factory.mktemp("profile")) as open_browser:
        yield open_browser
