"""`elbo_ref.report.funnel`: raw rates, and the band of equal latents."""

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er

pytest.importorskip("matplotlib")

from elbo_ref.report.funnel import band


@pytest.mark.parametrize("p", [0.003, 0.3, 0.97])
def test_the_band_holds_what_neither_tail_excludes(p):
    n = np.arange(1.0, 400.0)
    lower, upper = band(p, n)
    for size, low, high in zip(n[::7], lower[::7], upper[::7], strict=True):
        k = np.arange(size + 1)
        law = stats.binom(size, p)
        inside = (law.cdf(k) >= 0.025) & (law.sf(k - 1) >= 0.025)
        np.testing.assert_array_equal((k >= low) & (k <= high), inside)


def test_the_band_of_very_many_trials_is_that_of_the_normal():
    n = np.array([3e6, 3.3e6, 3.7e6, 3.9e6, 1e18])  # both sides of where it is taken
    for sign, edge in zip((-1, 1), band(0.4, n), strict=True):
        away = (edge - 0.4 * n) / np.sqrt(n * 0.24)
        np.testing.assert_allclose(away, sign * 1.959964, atol=2e-3)


def test_dots_and_title():
    """Latents without trials have no dot; several equal ones count as often."""
    counts = er.Counts([0, 9, 3], [0, 10, 10], [5, 2, 8])
    ax = counts.plot()
    dots = ax.collections[-1].get_offsets()
    np.testing.assert_allclose(dots, [[10, 0.9], [10, 0.3]])
    assert ax.get_title(loc="left") == "2 of 10 latents outside the band of equal ones"
    assert any("0.42" in text.get_text() for text in ax.get_legend().get_texts())


def test_equal_latents_are_within_the_band():
    """At most 5 % of 4000 are outside, with five standard errors; of different ones far more."""
    rng = np.random.default_rng(4)
    n = rng.integers(20, 200, 4000)
    shares = []
    for rate in (np.full(4000, 0.3), rng.beta(3, 7, 4000)):
        title = er.Counts(rng.binomial(n, rate), n).plot().get_title(loc="left")
        shares.append(int(title.split()[0]) / 4000)
    assert 0.02 < shares[0] < 0.05 + 5 * np.sqrt(0.05 * 0.95 / 4000)
    assert shares[1] > 0.3


@pytest.mark.parametrize(
    ("counts", "title"),
    [
        (er.Counts(0, 0), "no trials, no rates"),
        (er.Counts(0, [3, 9]), "0 of 2 latents outside the band of equal ones"),
        (er.Counts([3, 9], [3, 9]), "0 of 2 latents outside the band of equal ones"),
        (er.Counts([10**15, 5], [2 * 10**15, 8]), "0 of 2 latents outside the band of equal ones"),
    ],
)
def test_limits_are_drawn(counts, title):
    assert counts.plot().get_title(loc="left") == title
