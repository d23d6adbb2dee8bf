"""Adam, from scratch: pure functions on arrays, and the settings that say which Adam.

For a gradient g of the *loss* at step t = 1, 2, ... (Kingma & Ba 2015, algorithm 1):

    m <- beta1 m + (1 - beta1) g,        v <- beta2 v + (1 - beta2) g^2,
    x <- x - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps).

`Adam` is that, as ``torch.optim.Adam`` does it: eps stands outside the root and after the bias
correction, `weight_decay` is an L2 term in the gradient, and `amsgrad` divides by the largest v so
far (Reddi, Kale & Kumar 2018). `ClippedAdam` is Pyro's class of that name, which differs in three
ways that its documentation does not spell out: the gradient is clamped element by element although
the setting is called `clip_norm`; eps is added *before* the bias correction of v; and the learning
rate is multiplied by `lrd` before the first step already.

Operations stand in the order of the original, so that rounding differs by PyTorch's fused
multiply-adds only (it writes the first moment as m + (1 - beta1)(g - m), Pyro as
beta1 m + (1 - beta1) g).
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from elbo_ref._validation.arguments import (
    FloatArray,
    as_array,
    check_type,
    scalar,
    underflow_is_zero,
)


class AdamState(NamedTuple):
    """The memory of Adam: the number of updates, the two moments, and the largest second one.

    `largest` follows `second_moment` unless `amsgrad` is on.
    """

    step: int
    first_moment: FloatArray
    second_moment: FloatArray
    largest: FloatArray

    @classmethod
    def zeros(cls, parameters: FloatArray) -> AdamState:
        """Return the state before the first update."""
        zeros = np.zeros_like(parameters)
        return cls(0, zeros, zeros, zeros)


@runtime_checkable
class Optimizer(Protocol):
    """Settings that know how to update parameters; state goes in and comes back."""

    @property
    def lr(self) -> float:
        """Learning rate of the first step."""

    def init(self, parameters: FloatArray) -> AdamState:
        """Return the state before the first update."""

    def update(
        self, state: AdamState, parameters: FloatArray, gradient: FloatArray
    ) -> tuple[FloatArray, AdamState]:
        """Make one descent step along a gradient of the loss; return parameters and state."""


@dataclass(frozen=True)
class _Settings:
    """The settings that all kinds of Adam have."""

    lr: float = 1e-3
    _: KW_ONLY
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is outside its range, and keep the numbers as floats."""
        if as_array("betas", self.betas).shape != (2,):
            raise ValueError(f"betas = {self.betas!r} must be two numbers")
        beta1, beta2 = (
            scalar(f"betas[{i}]", beta, lambda x: 0 <= x < 1, "must lie in [0, 1)")
            for i, beta in enumerate(self.betas)
        )
        object.__setattr__(self, "betas", (beta1, beta2))
        lr = scalar("lr", self.lr, lambda x: x > 0, "must be positive and finite")
        object.__setattr__(self, "lr", lr)
        for name in ("eps", "weight_decay"):
            value = scalar(name, getattr(self, name), lambda x: x >= 0, "must not be negative")
            object.__setattr__(self, name, value)

    def init(self, parameters: FloatArray) -> AdamState:
        """Return the state before the first update."""
        return AdamState.zeros(parameters)

    @cached_property
    def _arrays(self) -> tuple[FloatArray, ...]:
        """beta1, 1 - beta1, beta2, 1 - beta2 and eps as NumPy multiplies by them fastest."""
        beta1, beta2 = self.betas
        return tuple(np.asarray(x) for x in (beta1, 1 - beta1, beta2, 1 - beta2, self.eps))


@underflow_is_zero
@dataclass(frozen=True, kw_only=True)
class Adam(_Settings):
    """Settings of Adam, with the names and defaults of ``torch.optim.Adam``.

    Parameters
    ----------
    lr : float
        Learning rate, positive: at 0 nothing would be learned.
    betas : (float, float)
        Decay rates of the two moments, each in [0, 1).
    eps : float
        Added to the root of the corrected second moment; not negative.
    weight_decay : float
        Coefficient of an L2 penalty on the unconstrained parameters; not negative.
    amsgrad : bool
        Divide by the largest second moment so far.

    Raises
    ------
    ValueError
        If a setting is outside its range.

    References
    ----------
    D. P. Kingma & J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    S. J. Reddi, S. Kale & S. Kumar, "On the convergence of Adam and beyond", ICLR 2018.

    Examples
    --------
    >>> optimizer, x = Adam(lr=0.1), np.array([1.0])
    >>> state = optimizer.init(x)
    >>> x, state = optimizer.update(state, x, gradient=np.array([5.0]))
    >>> x.round(12), state.step
    (array([0.9]), 1)
    """

    amsgrad: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_type("amsgrad", self.amsgrad, bool)

    def update(
        self, state: AdamState, parameters: FloatArray, gradient: FloatArray
    ) -> tuple[FloatArray, AdamState]:
        """Make one descent step along a gradient of the loss; return parameters and state."""
        return self._update_at(self.lr, state, parameters, gradient)

    def _update_at(
        self, lr: float, state: AdamState, parameters: FloatArray, gradient: FloatArray
    ) -> tuple[FloatArray, AdamState]:
        """Make one step at another learning rate, which may be 0."""
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameters
        beta1, beta2 = self.betas
        _, rest1, keep2, rest2, eps = self._arrays
        step = state.step + 1
        first = gradient - state.first_moment
        first *= rest1
        first += state.first_moment
        second = rest2 * gradient
        second *= gradient
        second += keep2 * state.second_moment
        largest = np.maximum(state.largest, second) if self.amsgrad else second
        root = np.sqrt(largest)
        root /= np.asarray(math.sqrt(1 - beta2**step))
        root += eps
        moved = np.asarray(-lr / (1 - beta1**step)) * first
        moved /= root
        moved += parameters
        return moved, AdamState(step, first, second, largest)


@underflow_is_zero
@dataclass(frozen=True, kw_only=True)
class ClippedAdam(_Settings):
    """Settings and updates of Pyro's ``ClippedAdam``.

    Parameters
    ----------
    lr, betas, eps, weight_decay : as in `Adam`
        eps here is added before the bias correction.
    clip_norm : float
        Every element of the gradient is clamped to [-clip_norm, clip_norm]; positive.
    lrd : float
        Factor on the learning rate at every step, the first included; positive. A rate that
        overflows throws the parameters out of their range, which ends a run.

    Examples
    --------
    >>> optimizer, x = ClippedAdam(lr=0.1, lrd=0.5), np.array([1.0])
    >>> x, state = optimizer.update(optimizer.init(x), x, gradient=np.array([5.0]))
    >>> x.round(6)
    array([0.95])
    """

    clip_norm: float = 10.0
    lrd: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("clip_norm", "lrd"):
            value = scalar(name, getattr(self, name), lambda x: x > 0, "must be positive")
            object.__setattr__(self, name, value)

    def update(
        self, state: AdamState, parameters: FloatArray, gradient: FloatArray
    ) -> tuple[FloatArray, AdamState]:
        """Make one descent step along a gradient of the loss; return parameters and state."""
        gradient = np.minimum(np.maximum(gradient, -self.clip_norm), self.clip_norm)
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameters
        beta1, beta2 = self.betas
        keep1, rest1, keep2, rest2, eps = self._arrays
        step = state.step + 1
        first = keep1 * state.first_moment + rest1 * gradient
        second = keep2 * state.second_moment + (rest2 * gradient) * gradient
        rate = rate_after(self, step)
        scale = -rate * math.sqrt(1 - beta2**step) / (1 - beta1**step)
        root = np.sqrt(second) + eps
        return parameters + np.asarray(scale) * first / root, AdamState(step, first, second, second)


@underflow_is_zero
@dataclass(frozen=True)
class ExponentialLR:
    """Adam whose learning rate falls by a factor after every step.

    As ``pyro.optim.ExponentialLR`` does with ``torch.optim.Adam`` when its ``step()`` is called
    after each ``svi.step``: lr at the first step, lr gamma at the second. (`ClippedAdam` multiplies
    by its `lrd` before the first step already.)

    Parameters
    ----------
    optimizer : Adam
        The settings at the first step.
    gamma : float
        In (0, 1]. A rate that underflows is 0: the parameters then stay where they are.

    Examples
    --------
    >>> optimizer, x = ExponentialLR(Adam(lr=0.1), gamma=0.5), np.array([1.0])
    >>> state = optimizer.init(x)
    >>> for _ in range(2):
    ...     x, state = optimizer.update(state, x, gradient=np.array([5.0]))
    >>> x.round(6)
    array([0.85])
    """

    optimizer: Adam
    gamma: float

    def __post_init__(self) -> None:
        check_type("optimizer", self.optimizer, Adam)
        gamma = scalar("gamma", self.gamma, lambda x: 0 < x <= 1, "must lie in (0, 1]")
        object.__setattr__(self, "gamma", gamma)

    @property
    def lr(self) -> float:
        """Learning rate of the first step."""
        return self.optimizer.lr

    @property
    def lrd(self) -> float:
        """The factor of each step, by the name that `ClippedAdam` gives it."""
        return self.gamma

    def init(self, parameters: FloatArray) -> AdamState:
        """Return the state before the first update."""
        return AdamState.zeros(parameters)

    def update(
        self, state: AdamState, parameters: FloatArray, gradient: FloatArray
    ) -> tuple[FloatArray, AdamState]:
        """Make one descent step along a gradient of the loss; return parameters and state."""
        rate = rate_after(self, state.step)
        return self.optimizer._update_at(rate, state, parameters, gradient)


def rate_after(optimizer: Optimizer, steps: int) -> float:
    """Compute the learning rate after so many decays: 0.0 or inf where it leaves float64."""
    try:
        return float(optimizer.lr * getattr(optimizer, "lrd", 1.0) ** steps)
    except OverflowError:
        return math.inf
