"""`to_arviz`: draws of the right distributions, under the labels.

Means over 8000 independent draws are held within 5 standard errors: a false alarm once in 1e6 for
each, with a fixed seed. The control takes the draws of another latent.
"""

import sys

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er

arviz = pytest.importorskip("arviz_base")

COUNTS = er.Counts.grouped([3, 0, 7], [10, 4, 9], [5, 7, 6])
TABLE = er.posterior_table(er.Beta(2.0, 8.0), COUNTS)


def away(draws, mean, std):
    return np.abs(draws.mean((0, 1)) - mean) / (std / np.sqrt(draws[..., 0].size))


def test_groups_and_coordinates():
    tree = TABLE.to_arviz(draws=20, chains=2, rng=1)
    groups = ("posterior", "prior", "observed_data", "log_likelihood")
    assert set(groups) < set(tree.children)
    c = tree["posterior"]["c"]
    assert c.dims == ("chain", "draw", "latent") and c.shape == (2, 20, 3)
    assert c["latent"].values.tolist() == [5, 7, 6] and c["latent"].dtype.kind == "i"
    assert tree["observed_data"]["successes"].values.tolist() == [3, 0, 7]
    wanted = stats.binom.logpmf(COUNTS.successes, COUNTS.total_count, c.values)
    np.testing.assert_allclose(tree["log_likelihood"]["successes"].values, wanted, rtol=1e-9)


def test_draws_have_the_distributions():
    tree = TABLE.to_arviz(draws=2000, rng=3)
    after = er.posterior(TABLE.prior, COUNTS)
    std = stats.beta.std(*after.arrays())
    posterior = tree["posterior"]["c"].values
    assert away(posterior, TABLE.mean, std).max() < 5
    assert away(posterior[..., ::-1], TABLE.mean, std).max() > 5
    assert away(tree["prior"]["c"].values, 0.2, stats.beta.std(2, 8)).max() < 5


@pytest.mark.parametrize("prior", ["averaged", "mle"])
def test_draws_of_estimates_have_their_means_and_intervals(prior):
    counts = er.Counts([3, 4, 9, 2], [10, 12, 14, 9])
    found = er.estimate(counts, prior, level=0.9)
    c = found.to_arviz(draws=2000, rng=5)["posterior"]["c"].values
    assert away(c, found.mean, c.std((0, 1))).max() < 5
    below = np.array([(c < end).mean((0, 1)) for end in (found.lower, found.upper)])
    assert np.abs(below - [[0.05], [0.95]]).max() < 5 * np.sqrt(0.05 * 0.95 / 8000)


def test_latents_of_one_unknown_prior_depend_on_each_other():
    """Draws share the prior: what it leaves uncertain moves all latents alike."""
    found = er.estimate(er.Counts([0, 0, 0, 1], [1, 1, 1, 1]))
    c = found.to_arviz(draws=2000, rng=5)["posterior"]["c"].values.reshape(-1, 4)
    held = er.estimate(er.Counts([0, 0, 0, 1], [1, 1, 1, 1]), er.Beta(1.0, 1.0))
    alone = held.to_arviz(draws=2000, rng=5)["posterior"]["c"].values.reshape(-1, 4)
    assert np.corrcoef(c.T)[0, 1] > 5 / np.sqrt(8000) > abs(np.corrcoef(alone.T)[0, 1])


def test_a_limit_is_drawn_as_points():
    tree = er.estimate(er.Counts([0, 3], 3), "mle").to_arviz(draws=5)
    assert (tree["posterior"]["c"].values == [0, 1]).all()
    assert (tree["log_likelihood"]["successes"].values == 0).all()


def test_the_same_seed_gives_the_same_draws():
    first, again, other = (
        TABLE.to_arviz(draws=5, rng=seed)["posterior"]["c"].values for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_labels_that_no_coordinate_holds_are_text():
    counts = er.Counts.grouped([3, 0], [10, 4], [("a", 1), ("b", 2)])
    tree = er.posterior_table(er.Beta([2.0, 1.0], 8.0), counts).to_arviz(draws=5)
    assert tree["posterior"]["latent"].values.tolist() == ["('a', 1)", "('b', 2)"]


def test_refusals(monkeypatch):
    for bad in ({"draws": 0}, {"chains": 0}, {"rng": -1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            TABLE.to_arviz(**bad)
    monkeypatch.setitem(sys.modules, "arviz_base", None)
    with pytest.raises(ImportError, match=r"arviz-base, or in a clone pip install '\.\[arviz\]'"):
        TABLE.to_arviz()
