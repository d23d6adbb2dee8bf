"""`elbo_ref.estimates.mixture`: quantiles of many latents, some of which are solved first."""

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.estimates import mixture
from elbo_ref.special import beta_share


def drawn(rate, size=600, most=3000):
    """Latents with success rates that are equal, or drawn."""
    rng = np.random.default_rng(1)
    n = rng.integers(20, most, size)
    return er.Counts(rng.binomial(n, rate(rng, size)), n)


CASES = {
    "binomial": drawn(lambda *_: 0.3),
    "rare": drawn(lambda *_: 0.002),
    "weak": drawn(lambda rng, size: rng.beta(300, 700, size)),
    "at the ends": drawn(lambda rng, size: rng.beta(0.02, 0.1, size), most=100),
}


@pytest.mark.thorough
@pytest.mark.parametrize("counts", CASES.values(), ids=CASES)
def test_the_quantiles_of_many_are_those_of_each(monkeypatch, counts):
    """To 1e-9 posterior deviations as without a correction, and where each is settled at 1e-7."""
    monkeypatch.setattr(mixture, "_CLOSE", 1e-7)
    wanted = er.estimate(counts)
    deviation = (wanted.upper - wanted.lower) / 4
    monkeypatch.undo()
    for many in (10**9, 64):
        monkeypatch.setattr(mixture, "_MANY", many)
        monkeypatch.setattr(mixture, "_SAMPLE", 60)
        found = er.estimate(counts)
        for got, exact in ((found.lower, wanted.lower), (found.upper, wanted.upper)):
            assert (np.abs(got - exact) <= 1e-9 * deviation).all()


@pytest.mark.thorough
@pytest.mark.parametrize("case", ["binomial", "rare"])
def test_many_binomial_latents_take_one_step_each(monkeypatch, case):
    """Betas that are evaluated for the two ends of each: two, and two and more for 60 of 600."""
    counts, evaluated = CASES[case], []

    def counted(a, b, c, rest):
        evaluated.append(np.broadcast_shapes(np.shape(a), np.shape(c)))
        return beta_share(a, b, c, rest)

    monkeypatch.setattr(mixture, "beta_share", counted)
    rows = {}
    for many in (10**9, 64):
        monkeypatch.setattr(mixture, "_MANY", many)
        monkeypatch.setattr(mixture, "_SAMPLE", 60)
        evaluated.clear()
        found = er.estimate(counts)
        rows[many] = sum(x[0] for x in evaluated) / len(found.posteriors.fits[0].counts)
    assert rows[10**9] > 3.9
    assert rows[64] < 2.9


def test_starts_that_are_far_off_are_not_corrected():
    """Half of the mass of each at an end: no Beta has such quantiles."""
    size = 80
    k = np.arange(size) % 5
    latents = mixture.Mixture(
        np.array([1e-3, 50.0]), np.array([50.0, 50.0]), np.array([0.5, 0.5]), k, k[::-1].copy()
    )
    mean, variance = latents.moments()
    assert latents._correction(0.025, mean, variance) is None
