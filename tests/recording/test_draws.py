"""Where draws come from, and what the precision does to them: by hand and by quadrature."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special, stats

from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.replay.draws import LEVEL, clip_bias, compare_draws
from recorded import COUNTS, K, N, betas, site, stated, trace_of


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0.02, 3.0), (2.0, 5.0), (300.0, 400.0)])
def test_draws_of_the_guide_and_of_others(shape, dtype):
    """In float32 a Beta(0.02, 3) has a sixth of its draws at the least float, and passes."""
    rng, (a, b) = np.random.default_rng(1), shape
    x = betas((1.0, 1.0), ([a] * 3, [b] * 3))
    info = np.finfo(dtype)

    def drawn(a, b):
        c = np.clip(rng.beta(a, b, (50, 2, 3)), info.tiny, 1 - info.epsneg)
        return np.clip(c.astype(dtype), info.tiny, dtype(1 - info.epsneg))

    first = compare_draws(trace_of(stated(drawn(a, b), x)))[0]
    assert (first.name, first.status) == ("draws", "agrees") and first.theirs >= LEVEL
    first = compare_draws(trace_of(stated(drawn(2 * a, b), x)))[0]
    assert (first.name, first.status) == ("draw_mismatch", "mistake") and first.theirs < LEVEL
    first = compare_draws(trace_of(stated(drawn(1.0, 1.0), x)))[0]
    assert (first.name, first.reason) == ("latent_not_in_guide", "they are draws from the prior")


def test_the_p_value_is_that_of_scipy():
    c = np.random.default_rng(3).beta(2.0, 5.0, (60, 1, 3))
    found = compare_draws(trace_of(stated(c, betas((2.0, 5.0), (2.0, 5.0)))))[0].theirs
    wanted = stats.kstest(c.ravel(), stats.beta(2.0, 5.0).cdf).pvalue
    assert found == pytest.approx(wanted, abs=0.02)  # an asymptotic formula, and an exact one


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_p_values_of_clean_recordings_are_uniform(dtype):
    """Of 200 recordings, by Kolmogorov and Smirnov at 0.1%; a tenth more of one concentration is
    refused. In float32 a sixth of the draws of Beta(0.02, 3) stands at the least float."""
    rng, shape = np.random.default_rng(5), (20, 2, 3)
    own = np.array([0.02, 2.0, 40.0]), np.array([3.0, 5.0, 60.0])
    info, x = np.finfo(dtype), betas((1.0, 1.0), own)

    def p_values(share):
        found = []
        for _ in range(200):
            c = np.clip(rng.beta(own[0] * share, own[1], shape), info.tiny, 1 - info.epsneg)
            c = np.clip(c.astype(dtype), info.tiny, dtype(1 - info.epsneg))
            found.append(compare_draws(trace_of(stated(c, x)))[0].theirs)
        return found

    assert stats.kstest(p_values(1.0), "uniform").pvalue > 1e-3
    assert stats.kstest(p_values(1.1), "uniform").pvalue < 1e-3


def test_a_point_has_no_draws():
    sites = [site("model", "c"), site("guide", "c", "Delta")]
    arguments = {**betas((1.0, 1.0)), "guide.c.v": [0.25] * 3}
    trace = trace_of(stated(np.full((4, 1, 3), 0.25), arguments, sites=sites))
    assert trace.guide.is_point and compare_draws(trace) == []


def saturating(dtype, at, tied=True):
    """A run of one step whose draws stand at the end of a precision."""
    prior = dtype(0.005), dtype(5.0)
    c = np.array([[[at, 0.3, 0.3]]], dtype)
    loss = -np.sum(special.xlogy(K, np.maximum(c, np.finfo(dtype).eps)) + (N - K) * np.log1p(-c))
    arguments = betas(prior, prior if tied else None)
    return stated(c, arguments, losses=[loss - COUNTS.log_coefficient.sum()])


def test_draws_at_the_ends_of_a_precision():
    for dtype, status in ((np.float32, "mistake"), (np.float64, "note")):
        tiny = np.finfo(dtype).tiny
        verdict = replay(saturating(dtype, tiny))
        (finding,) = (f for f in verdict.findings if f.name == "float32_saturation")
        assert finding.status == status and finding.quantity.startswith("1 of 3 draws")
        assert "losses" in {f.name for f in verdict.having("agrees")}
        off = replay(saturating(dtype, 4 * tiny))
        assert not [f for f in off.findings if f.name == "float32_saturation"]


@pytest.mark.parametrize("kind", ["tied", "empty"])
def test_the_bias_of_clipping_by_quadrature(kind):
    trace = trace_of(saturating(np.float32, 0.3, tied=kind == "tied"))
    assert trace.guide.name == kind
    a, b = trace.model.prior[:, 0, 0]
    info = np.finfo(np.float32)

    def raised(a, b, t):
        """E[log max(c, t) - log c], over s = a log(t / c)."""

        def part(s):
            c = t * np.exp(-s / a)
            return s * np.exp(-s) * (1 - c) ** (b - 1)

        return t**a / a**2 * integrate.quad(part, 0, np.inf)[0] / special.beta(a, b)

    gain = K.sum() * raised(a, b, info.eps) + (N - K).sum() * raised(b, a, info.eps)
    if kind == "empty":
        gain += 3 * ((a - 1) * raised(a, b, info.tiny) + (b - 1) * raised(b, a, info.epsneg))
    np.testing.assert_allclose(clip_bias(trace), [-gain], rtol=1e-5)


def test_a_seed_that_is_set_in_every_step():
    """The same quantiles of other distributions."""
    a = np.linspace(2.0, 3.0, 30)[:, None, None] * np.ones(3)
    c = stats.beta.ppf(np.random.default_rng(3).random((1, 2, 3)), a, 4.0)
    arguments = betas((1.0, 1.0), (a[:, 0], [4.0] * 3))
    first = compare_draws(trace_of(stated(c, arguments)))[0]
    assert (first.name, first.status) == ("draw_mismatch", "mistake")
    assert first.quantity == "all steps have the same draws"
