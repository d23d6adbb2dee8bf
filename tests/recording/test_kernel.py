"""PyTorch's derivative of a Beta draw, by a PyTorch that is a function of NumPy's arrays."""

from __future__ import annotations

import numpy as np
import pytest

from elbo_ref.recording.replay.kernel import installed_pytorch, torch_pathwise
from recorded import Array, hide_pytorch, stand_in_for_pytorch

SEEN = []


def dirichlet_grad(x, concentration, total):
    """A function of all three: x a / (a + b), with a step at x = 1/2."""
    SEEN.append((x.values.copy(), concentration.values, total.values))
    return Array(x.values * concentration.values / total.values + (x.values >= 0.5))


@pytest.fixture(autouse=True)
def numpy_for_torch(monkeypatch):
    stand_in_for_pytorch(monkeypatch, dirichlet_grad)
    SEEN.clear()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slopes_are_those_of_the_logit(dtype):
    """dc/da = G_1 (1 - c) and dc/db = -G_2 c, over c (1 - c): G_1 / c and -G_2 / (1 - c)."""
    c = np.array([[0.25, 0.125, 0.75]], dtype)
    a, b = np.array([[2.0, 3.0, 5.0]]), np.array([[6.0, 1.0, 3.0]])
    found = torch_pathwise(c, a, b)
    share, step = a / (a + b), (c >= 0.5)
    np.testing.assert_allclose(found.slopes[0], share + step / c, rtol=1e-6)
    np.testing.assert_allclose(found.slopes[1], -(1 - share) - (~step) / (1 - c), rtol=1e-6)
    x, pairs, total = SEEN[0]
    assert (x.dtype, pairs.dtype) == (dtype, dtype)
    np.testing.assert_array_equal(x, np.stack([c, 1 - c], axis=-1))
    np.testing.assert_array_equal(pairs, np.stack([a, b], axis=-1))
    np.testing.assert_array_equal(total, np.repeat((a + b)[..., None], 2, axis=-1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_spread_is_over_neighbours_of_both(dtype):
    """The next float of c to either side; 1 - c half a rounding away, but no more than 1, no less
    than half of it."""
    c, one = np.array([0.3, dtype(1) - np.finfo(dtype).epsneg, 1e-30], dtype), np.ones(3)
    torch_pathwise(c, one, one)
    (given, *others) = [x for x, _, _ in SEEN]
    failure, half = 1 - c, np.finfo(dtype).epsneg
    np.testing.assert_array_equal(given[:, 0], c)
    np.testing.assert_array_equal([x[:, 0] for x in others[2:]], [c, c])
    np.testing.assert_array_equal([x[:, 1] for x in others[:2]], [failure, failure])
    np.testing.assert_array_equal(others[0][:, 0], np.nextafter(c, dtype(0)))
    np.testing.assert_array_equal(others[1][:, 0], np.nextafter(c, dtype(1)))
    np.testing.assert_array_equal(others[2][:, 1], [failure[0] - half, half / 2, 1 - half])
    np.testing.assert_array_equal(others[3][:, 1], [failure[0] + half, 2 * half, 1])


def test_a_jump_beside_a_draw_is_spread():
    """At the step of the function the neighbours differ by it, elsewhere by rounding."""
    below = np.nextafter(0.5, 0)
    found = torch_pathwise(np.array([below, 0.2]), np.ones(2), np.ones(2))
    assert found.spread[0, 0] == pytest.approx(2.0) and found.spread[:, 1].max() < 1e-14


def test_without_pytorch_nothing_is_known(monkeypatch):
    hide_pytorch(monkeypatch)
    assert installed_pytorch() is None
    assert torch_pathwise(np.array([0.5]), np.ones(1), np.ones(1)) is None
