"""`posterior_table`: what is known of each latent, in numbers, text, HTML and CSV."""

import csv
import io
import json

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er

LABELS = ["<b>north</b>", "a, b", 'say "hi"', "line\nbreak"]
COUNTS = er.Counts.grouped([3, 0, 7, 2], [10, 40, 7, 2], LABELS)
PRIOR = er.Beta(2.0, 8.0)


def test_numbers():
    table = er.posterior_table(PRIOR, COUNTS, prob=0.9)
    a, b = 2 + COUNTS.successes, 8 + COUNTS.failures
    np.testing.assert_allclose(table.mean, a / (a + b), rtol=1e-15)
    np.testing.assert_allclose(table.lower, stats.beta.ppf(0.05, a, b), rtol=1e-10)
    np.testing.assert_allclose(table.upper, stats.beta.ppf(0.95, a, b), rtol=1e-10)
    rate = COUNTS.successes / COUNTS.total_count
    between = table.shrinkage * PRIOR.mean + (1 - table.shrinkage) * rate
    np.testing.assert_allclose(table.mean, between, rtol=1e-14)


def test_no_trials_is_the_prior():
    table = er.posterior_table(PRIOR, er.Counts([0, 5], [0, 5]))
    assert (table.mean[0], table.shrinkage[0]) == (0.2, 1.0)
    assert (table.lower[0], table.upper[0]) == PRIOR.interval(0.95)


def test_equal_latents_and_a_prior_for_each():
    counts = er.Counts([3, 1, 3], [9, 9, 9])
    table = er.posterior_table(PRIOR, counts)
    assert table.lower[0] == table.lower[2] < table.upper[1]
    each = er.posterior_table(er.Beta([2.0, 1.0, 2.0], [8.0, 1.0, 8.0]), counts)
    assert each.upper[0] == table.upper[0]
    assert each.upper[1] != table.upper[1]
    assert "its prior" in str(each)


def test_of_a_run():
    run = er.maximize_elbo(COUNTS, num_steps=10)
    np.testing.assert_array_equal(
        run.posterior_table(0.5).mean, er.posterior(run.prior, COUNTS).mean
    )


def test_csv_round_trip():
    table = er.posterior_table(PRIOR, COUNTS)
    rows = list(csv.DictReader(io.StringIO(table.to_csv(), newline="")))
    assert [row["label"] for row in rows] == LABELS
    assert [float(row["upper"]) for row in rows] == table.upper.tolist()
    assert {(row["interval_prob"], row["interval_kind"]) for row in rows} == {
        ("0.95", "equal-tailed")
    }


def test_html_escapes_labels():
    page = er.posterior_table(PRIOR, COUNTS)._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;north&lt;/b&gt;" in page
    assert "&quot;hi&quot;" in page
    page = er.maximize_elbo(COUNTS, num_steps=2)._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;" in page


def test_text():
    many = er.Counts(np.arange(100) % 5, 4)
    lines = str(er.posterior_table(PRIOR, many)).splitlines()
    assert "equal-tailed" in lines[0]
    assert "95% from" in lines[1]
    assert "... 60 more ..." in lines
    assert len(lines) == 43
    assert "(x 7)" in str(er.posterior_table(PRIOR, er.Counts(1, 2, multiplicity=[7])))
    assert len(json.dumps(er.posterior_table(PRIOR, many).to_dict())) > 1000


@pytest.mark.parametrize("prob", [0.0, 1.0, -1, np.nan])
def test_bad_probabilities(prob):
    with pytest.raises(ValueError, match="prob"):
        er.posterior_table(PRIOR, COUNTS, prob=prob)


def test_what_does_not_fit():
    with pytest.raises(TypeError, match="prior"):
        er.posterior_table((1, 2), COUNTS)
    with pytest.raises(TypeError, match="counts"):
        er.posterior_table(PRIOR, 3)
    with pytest.raises(ValueError, match="prior of shape"):
        er.posterior_table(er.Beta([1.0, 2.0], 1.0), COUNTS)


def test_draws_for_arviz():
    """Of posterior and prior, by default 1000 in each of four chains, seeded; one draw will do."""
    pytest.importorskip("arviz_base")
    table = er.posterior_table(PRIOR, COUNTS)
    tree, same, one = table.to_arviz(), table.to_arviz(rng=0), table.to_arviz(draws=1, chains=1)
    assert dict(tree["posterior"].sizes) == {"chain": 4, "draw": 1000, "latent": 4}
    assert dict(one["prior"].sizes)["draw"] == 1
    for group, wanted in (("posterior", table.mean), ("prior", PRIOR.mean)):
        c = tree[group]["c"].to_numpy()
        np.testing.assert_array_equal(c, same[group]["c"].to_numpy())
        np.testing.assert_allclose(c.mean(axis=(0, 1)), wanted + np.zeros(4), atol=0.01)


@pytest.mark.parametrize("name", ["draws", "chains"])
def test_of_draws_there_is_one_at_least(name):
    table = er.posterior_table(PRIOR, COUNTS)
    with pytest.raises(ValueError, match=name):
        table.to_arviz(**{name: 0})
