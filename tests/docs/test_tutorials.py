"""Numbers that the sentences of the tutorials and of the front page state.

What their cells print is made when the site is built; these stand between the cells.
"""

import re

import numpy as np
import pytest

import elbo_ref as er
from places import ROOT

DOCS = ROOT / "docs"
SEEDS = er.Counts([2, 9, 5, 16, 2, 0], [43, 51, 44, 71, 24, 7])


def prose(page):
    """Sentences on one line."""
    return " ".join((DOCS / page).read_text("utf-8").split())


def test_the_front_page():
    text, best = prose("index.md"), er.maximize_evidence(SEEDS)
    run = er.maximize_elbo(SEEDS, guide="beta", num_steps=300)
    assert f"still {best.log_evidence - run.objective:.0f} nats below" in text
    a, b = best.prior.arrays()
    assert f"Beta({a:.4f}, {b:.3f}), is known without a run" in text


def test_the_players():
    text = prose("tutorials/counts.md")
    rows = re.findall(r'\("[A-Z][^"]*", (\d+), (\d+), \d+, \d+\)', text)
    at_bats, hits = np.array(rows, int).T
    assert (at_bats.size, set(at_bats), at_bats.sum()) == (18, {45}, 810)
    assert "45 at bats say little about one of them, and 810 say" in text
    counts = er.Counts(hits, at_bats)
    rho = er.maximize_evidence(counts).confidence_interval("rho")
    assert rho.lower == 0
    assert f"from 0, no difference between players at all, to {rho.upper:.2g}." in text
    assert f"p is {er.tarone_test(counts).pvalue:.2f}." in text


def test_the_prior_of_the_seeds_is_hardly_determined():
    found = er.maximize_evidence(SEEDS).confidence_interval("concentration1")
    assert found.upper == np.inf
    words = f"concentration1 may be anything from {found.lower:.1f} to infinity"
    assert words in prose("tutorials/pyro-run.md")


@pytest.mark.thorough
def test_the_forum_s_question():
    text, counts = prose("tutorials/forum-question.md"), er.datasets.load("forum")

    def runs(guide):
        settings = {"num_particles": 10, "optimizer": er.Adam(lr=0.1), "num_steps": 100}
        return [er.maximize_elbo(counts, guide, rng=seed, **settings) for seed in range(4)]

    full, empty, tied = map(runs, ("beta", "empty", "tied"))
    assert "A loss has a standard deviation of about 40 nats here" in text
    for run in full + empty + tied:
        assert run.step_std == pytest.approx(40, rel=0.2)
    assert "about 17 nats above the others'" in text
    for one, *others in zip(empty, full, tied, strict=True):
        for other in others:
            assert one.objective - other.objective == pytest.approx(17, abs=0.5)
