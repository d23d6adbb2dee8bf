"""Elements of sites that a scale has count for several latents each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er
from elbo_ref.recording.guide_sites import OutsideError
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.statement import read_statement
from recorded import K, N, betas, site, stated

TIMES = np.array([2.0, 1.0, 5.0])
PRIOR, OWN = (2.0, 5.0), ([4.0, 8.0, 15.0], [9.0, 6.0, 30.0])
COUNTS = er.Counts(K, N, TIMES.astype(int))


def recording(model=TIMES, guide=TIMES, data=TIMES):
    """Losses whose terms count so often, of each latent alike, by SciPy."""
    c = np.random.default_rng(0).beta(*OWN, (6, 2, 3))
    terms = (
        np.array(data) * stats.binom.logpmf(K, N, c)
        + np.array(model) * stats.beta.logpdf(c, *PRIOR)
        - np.array(guide) * stats.beta.logpdf(c, *OWN)
    )
    sites = [site("model", "c"), site("guide", "c")]
    made = stated(c, betas(PRIOR, OWN), sites=sites, losses=-terms.sum(axis=2).mean(axis=1))
    scales = {"model.c": model, "guide.c": guide, "model.k": data}
    noted = {
        f"{name}.scale": np.array([x]) for name, x in scales.items() if np.any(np.diff(x) != 0)
    }
    return replace(made, observed={**made.observed, **noted})


def test_entries_that_stand_for_several_latents():
    """Every loss follows, and the exact numbers are those of all latents."""
    for counts in (None, COUNTS):
        verdict = replay(recording(), counts)
        assert verdict.genuine and not verdict.mistakes
        prior = er.Beta(*PRIOR)
        assert verdict.exact["log_evidence"] == pytest.approx(er.log_evidence(prior, COUNTS))
        own = er.Beta(*map(np.array, OWN))
        assert verdict.exact["elbo"] == pytest.approx(er.elbo(own, prior, COUNTS))


def test_a_loss_that_departs_is_seen():
    made = recording()
    verdict = replay(replace(made, losses=made.losses + [0, 0, 0.1, 0, 0, 0]))
    assert verdict.mistakes == ("loss_mismatch",)


@pytest.mark.parametrize(
    ("unlike", "words"),
    [
        ({"guide": np.ones(3)}, "guide.c"),
        ({"data": np.ones(3)}, "model.k"),
        ({"model": np.ones(3), "guide": np.ones(3)}, "model.k"),
    ],
)
def test_sites_that_are_scaled_otherwise(unlike, words):
    (finding,) = (
        x for x in read_statement(recording(**unlike)).findings if x.name == "loss_mismatch"
    )
    said = f"the elements of {words} are scaled otherwise than those of the latents"
    assert (finding.quantity, finding.status) == (said, "mistake")


def test_rows_of_other_latents_in_another_step_are_scaled_otherwise():
    """A row has the scale of its latent, whichever that is in a step."""
    made = recording()
    order = np.tile(np.arange(3.0), (6, 1))
    assert not read_statement(made.with_observed({"k.index": order})).findings
    order[4] = [2.0, 1.0, 0.0]
    (finding,) = read_statement(made.with_observed({"k.index": order})).findings
    assert finding.name == "loss_mismatch" and "the elements of model.k are" in finding.quantity


def test_weights_that_count_no_latents_are_another_model():
    for weights in (TIMES / 2, TIMES - 1):
        with pytest.raises(OutsideError, match="weighted by what counts no latents"):
            read_statement(recording(weights, weights, weights))
    made = recording()
    changing = np.array([TIMES, TIMES[::-1]] * 3)
    for steps in (6, 2):
        observed = {**made.observed, "model.c.scale": changing[:steps]}
        some = replace(
            made,
            losses=made.losses[:steps],
            draws={"c": made.draws["c"][:steps]},
            arguments={x: values[:steps] for x, values in made.arguments.items()},
            observed=observed,
        )
        with pytest.raises(OutsideError, match="change from step to step"):
            read_statement(some)


def test_a_single_latent_has_no_multiplicity_of_its_own():
    """There is nothing that its scale could differ from."""
    made = recording()
    one = replace(
        made,
        draws={"c": made.draws["c"][..., :1]},
        arguments={x: values[:, :1] for x, values in made.arguments.items()},
        observed={
            "k.value": made.observed["k.value"][:, :1],
            "k.total_count": made.observed["k.total_count"][:, :1],
            "k.index": made.observed["k.index"][:, :1],
            **{f"{x}.scale": np.full((1, 1), 2.0) for x in ("model.c", "guide.c", "model.k")},
        },
    )
    sites = [
        {**x, "rows": 1, "elements": 1} if x["name"] == "k" else x for x in made.header["sites"]
    ]
    statement = read_statement(replace(one, header={**made.header, "sites": sites}))
    assert statement.data.multiplicity is None and not statement.findings
    assert statement.guide.name == "beta", "there is nobody to share it with"


def test_sites_that_are_scaled_otherwise_have_their_losses_compared_all_the_same():
    """Losses that follow are a row of the verdict; those that do not say nothing new."""
    unlike = recording(guide=np.ones(3))
    assert [x.name for x in replay(unlike).having("mistake")] == ["loss_mismatch"]
    follow = replace(recording(), observed=unlike.observed)
    verdict = replay(follow)
    assert [x.name for x in verdict.having("mistake")] == ["loss_mismatch"]
    assert "losses" in [x.name for x in verdict.having("agrees")]
    assert "losses" not in [x.name for x in replay(unlike).having("agrees")]
