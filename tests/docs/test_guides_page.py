"""docs/guides.md: its tables are what `make_guides.py` prints, and each row is what runs find."""

import importlib.util

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.guides import GUIDES
from elbo_ref.optima.find import find_optimum
from elbo_ref.optima.normal import best_normal
from places import ROOT
from tiers import few

DOCS = ROOT / "docs"
_SPEC = importlib.util.spec_from_file_location("make_guides", DOCS / "make_guides.py")
make_guides = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(make_guides)


@pytest.mark.thorough
def test_the_tables_are_up_to_date():
    page = make_guides.PAGE.read_text("utf-8")
    assert page.split(make_guides.MARK)[1].strip() == make_guides.tables().strip()


@pytest.mark.parametrize("name", few(make_guides.DATA))
@pytest.mark.parametrize("guide", make_guides.GUIDES)
def test_no_run_is_above_what_the_page_says(name, guide):
    """And the attained maxima are stationary: a run that starts there stays there."""
    counts = er.datasets.load(name)
    lead = find_optimum(GUIDES[guide], counts, er.Beta(1.0, 1.0), True)
    start, at = er.Beta(1.0, 2.0), guide
    if lead.attained and lead.concentration1:
        start = er.Beta(lead.concentration1, lead.concentration0)
        at = {"beta": er.posterior, "normal": best_normal}.get(guide, lambda *_: guide)(
            start, counts
        )
    run = er.maximize_elbo(
        counts, at, loss="exact", prior=start, optimizer=er.Adam(lr=0.01), num_steps=400
    )
    assert run.objective <= lead.value + 1e-9 * max(1.0, abs(run.objective))
    if np.isinf(lead.value):
        assert run.losses[-1] < run.losses[200]
    elif lead.concentration1 and lead.attained:
        assert run.losses[0] == pytest.approx(-lead.value, rel=1e-9)
        assert lead.value - run.objective < 1e-3
    else:
        assert run.losses[-1] < run.losses[0]
