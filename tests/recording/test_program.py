"""What the precision does to draws and losses, by hand and by quadrature."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special

import elbo_ref as er
from elbo_ref import guides
from elbo_ref.recording import Recording
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.replay.draws import clip_bias
from elbo_ref.recording.replay.program import Columns, Program
from elbo_ref.recording.replay.roles import Candidates, make_trace

K, N = np.array([3, 7, 12]), np.array([10, 9, 40])
COUNTS = er.Counts(K, N)
NAMES = {"prior.concentration1": "a", "prior.concentration0": "b"}


def saturating(dtype, at):
    """A tied run of one step whose draws stand at the end of a precision."""
    x = {"a": np.array([0.005], dtype), "b": np.array([5.0], dtype)}
    free = {name: np.log(value) for name, value in x.items()}
    c = np.array([[[at, 0.3, 0.3]]], dtype)
    loss = -np.sum(special.xlogy(K, np.maximum(c, np.finfo(dtype).eps)) + (N - K) * np.log1p(-c))
    groups = {"before": free, "constrained": x, "after": free, "gradients": free}
    return Recording(losses=[loss - COUNTS.log_coefficient.sum()], draws={"c": c}, **groups)


def test_draws_at_the_ends_of_a_precision():
    for dtype, status in ((np.float32, "mistake"), (np.float64, "note")):
        tiny = np.finfo(dtype).tiny
        verdict = replay(saturating(dtype, tiny), COUNTS, guide="tied", names=NAMES)
        (finding,) = (f for f in verdict.findings if f.name == "float32_saturation")
        assert finding.status == status and finding.quantity.startswith("1 of 3 draws")
        assert "losses" in {f.name for f in verdict.having("agrees")}
        off = replay(saturating(dtype, 4 * tiny), COUNTS, guide="tied", names=NAMES)
        assert not [f for f in off.findings if f.name == "float32_saturation"]


@pytest.mark.parametrize("kind", ["tied", "empty"])
def test_the_bias_of_clipping_by_quadrature(kind):
    recording = saturating(np.float32, 0.3)
    trace = make_trace(Candidates.of(recording, kind, COUNTS), COUNTS, loss="trace", names=NAMES)
    a, b = (float(recording.constrained[name][0]) for name in "ab")
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


def test_the_emulation_clamps_as_pyro_does():
    c = np.array([[1e-30, 0.25, 1 - 1e-17]])
    zeros = np.zeros(3)
    outcomes = np.array([[2.0, 3.0, 1.0], [5.0, 7.0, 4.0]])
    columns = Columns(
        c, special.logit(c), np.ones((2, 3)), np.ones((0, 3)), outcomes, zeros, zeros, 1.0
    )
    eps = np.finfo(float).eps
    clamped = np.clip(c, eps, 1 - eps)
    wanted = outcomes[0] * np.log(clamped) + outcomes[1] * np.log1p(-clamped)
    found = Program(guides.find("tied"), "float64").terms(columns).likelihood
    np.testing.assert_allclose(found.value, wanted, rtol=1e-14)
    free = Program(guides.find("tied"), "float64", least=np.finfo(float).tiny)
    assert free.terms(columns).likelihood.value[0, 0] == pytest.approx(2 * np.log(1e-30))
