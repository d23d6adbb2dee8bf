"""`elbo_ref.report.sentences`: each kind has its words, for either outcome.

Of the conclusions only numbers and key words are asserted.
"""

import re
from typing import get_args

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref import guides
from elbo_ref._format.numbers import number
from elbo_ref._format.sentences import optimum as optimum_words
from elbo_ref.optima.find import find_optimum
from elbo_ref.optima.optimum import Location, Maximised, Optimum, Reason
from elbo_ref.report import sentences
from elbo_ref.report.sentences import conclusion
from elbo_ref.svi.convergence import ARRIVED
from kinds import GUIDES, KINDS, OVERDISPERSED
from tiers import few

FORUM = er.datasets.load("forum")
NUMBERS = (1.0, 2.0, 0.0, 3.0)
"""As many as any kind asks for."""


# -- kinds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("learned", few([True, "concentration1", "concentration0", False]))
@pytest.mark.parametrize("location", get_args(Location))
def test_every_location_and_reason_has_words(location, learned):
    evidence = Optimum("prior", "evidence", -3.0, True, 2.0, 3.0, 0.4)
    for reason in get_args(Reason):
        if reason == "evidence" and location not in optimum_words._OF_EVIDENCE:
            continue
        if location == "one_concentration_to_end" and not isinstance(learned, str):
            continue
        optimum = Optimum(
            location, reason, -1.0, True, 2.0, 3.0, 0.4, np.array([0.2, np.nan]), NUMBERS, evidence,
            learned=learned,
        )  # fmt: skip
        for text in (sentences.location(optimum), sentences.reason(optimum)):
            assert text and "_" not in text.replace("E_prior", "") and "{" not in text, text
            assert not re.search("none|nan|true|false", text.replace("nan", ""), re.IGNORECASE)


@pytest.mark.parametrize("maximised", get_args(Maximised))
def test_every_objective_has_a_name(maximised):
    optimum = Optimum("prior", "evidence", -1.0, True, 2.0, 3.0, 0.4, maximised=maximised)
    assert sentences.maximised(optimum)


SIDED = [
    # successes, trials, what is held, over concentration1, and over concentration0 of the mirror
    ([0, 2], [7, 8], 2.0, "a latent without successes", "a latent without failures"),
    ([3, 8], [10, 8], 0.5, "failures under concentration0", "successes under concentration1"),
    (
        [9, 8], [10, 8], 2.0,
        "fewer failures than latents, and the prior collapses to 1",
        "fewer successes than latents, and the prior collapses to 0",
    ),
    ([9, 8], [10, 9], 2.0, "as many failures as latents", "as many successes as latents"),
]  # fmt: skip


@pytest.mark.parametrize(("k", "n", "held", "words", "mirrored"), SIDED)
def test_the_mirror_image_is_in_its_own_words(k, n, held, words, mirrored):
    counts, delta = er.Counts(k, n), guides.find("delta")
    one = find_optimum(delta, counts, er.Beta(1.5, held), "concentration1")
    other = find_optimum(delta, counts.mirrored, er.Beta(held, 1.5), "concentration0")
    assert words in sentences.reason(one) and mirrored in sentences.reason(other)
    assert (one.reason, one.value, one.attained) == (other.reason, other.value, other.attained)


def test_the_height():
    heights = {-1.25: "-1.25", np.inf: "unbounded", np.nan: "not known"}
    for value, text in heights.items():
        assert sentences.height(Optimum("nowhere", "evidence", value, True)) == text
    assert sentences.height(Optimum("nowhere", "mode", 0.5, False)) == "0.5 (not attained)"


# -- the conclusion ----------------------------------------------------------------------------


def exact(counts, guide="beta", num_steps=100, **settings):
    settings = {"optimizer": er.Adam(lr=0.1), **settings}
    return er.maximize_elbo(counts, guide=guide, loss="exact", num_steps=num_steps, **settings)


def together(counts, guides=("beta", "empty", "tied"), **settings):
    return [er.diagnose(exact(counts, guide, **settings)) for guide in guides]


def test_conclusion_where_nothing_is_attained():
    for kind in ("degenerate", "all_or_none", "binomial"):
        seen = together(KINDS[kind], num_steps=20)
        text = conclusion(seen)
        assert f"supremum {number(seen[0].supremum.log_evidence)}" in text
        assert "never attained" in text
        assert "no MLE" in text
        assert "all three" in text
        assert "both" in conclusion(seen[:2])
        assert "all three" not in conclusion(seen[:2])
        assert "snapshot" in conclusion(seen[:1])
    assert "supremum 0 " in conclusion(together(FORUM, num_steps=5))


def test_conclusion_names_who_arrived():
    counts = KINDS["all_or_none"]
    seen = [er.diagnose(exact(counts, num_steps=n, optimizer=er.Adam(lr=0.3))) for n in (5, 1500)]
    assert seen[1].distance <= ARRIVED
    text = conclusion(seen[1:])
    assert "never attained" in text
    assert "beta" in text
    assert "snapshot" not in text
    assert text != conclusion(seen[:1])


def test_conclusion_does_not_mistake_another_supremum_for_the_evidence():
    """A tied guide may have arrived where it leads, which is somewhere else."""
    counts, quick = er.Counts([0, 2], 2), er.Adam(lr=0.3)
    runs = [
        exact(counts, "tied", num_steps=1500, optimizer=quick),
        exact(counts, "none", num_steps=1500, optimizer=quick),
    ]
    for seen in map(er.diagnose, runs):
        assert seen.arrived
        text = conclusion([seen])
        assert "never attained" in text
        assert "came within" not in text
        assert "0.001" not in text


def test_conclusion_under_a_prior_that_is_held():
    """The answer is the posterior, whatever the evidence's maximum over all priors is."""
    held = er.Beta(2.0, 3.0)
    seen = er.diagnose(exact(er.Counts(3, 10), num_steps=20, prior=held, learn_prior=False))
    text = conclusion([seen])
    assert "MLE" not in text and "Beta(2, 3)" in text
    assert number(seen.log_evidence) in text and f"{number(seen.gap)} (beta)" in text


def test_conclusion_with_a_maximiser():
    seen = together(OVERDISPERSED, guides=GUIDES, num_steps=30)
    text = conclusion(seen)
    assert "MLE" in text
    assert "Beta(0.5493, 0.46479)" in text
    assert "never attained" not in text
    for diagnosis in seen[:3]:
        assert number(diagnosis.distance) in text
    assert "nan" not in conclusion(seen[3:])
    assert "None" not in conclusion(seen[3:])


def test_conclusion_of_a_run_at_the_maximiser():
    """Reached is said in words; a distance from it in nats, and none without a prior learned."""
    best = er.maximize_evidence(OVERDISPERSED).prior
    there, away = (
        er.diagnose(exact(OVERDISPERSED, num_steps=1, prior=prior, optimizer=er.Adam(lr=1e-14)))
        for prior in (best, er.Beta(1.0, 1.0))
    )
    assert conclusion([there]).endswith("leads there; reached by beta")
    below = f"log evidence is lower by {number(away.distance)} (beta)"
    assert conclusion([away]).endswith(f"; the run's {below}")
    assert conclusion([there, away]).endswith(f"; reached by beta, the others' {below}")
    none = er.diagnose(exact(OVERDISPERSED, "none", num_steps=1))
    assert conclusion([none]).endswith("; no prior is learned here")


def test_conclusion_of_single_trials():
    text = conclusion(together(KINDS["unidentified"], num_steps=5))
    assert "every prior" in text
    assert "0.66667" in text
    assert "-1.9095" in text
    assert "never attained" not in text


def test_conclusion_without_trials():
    text = conclusion(together(KINDS["no_information"], num_steps=5))
    assert "no trials" in text
    assert "nan" not in text
