"""The distribution of the prior's own parameters before any success is seen.

A prior Beta(m s, (1 - m) s) is known by its mean m and its concentration s. With s0 a quarter of a
typical number of trials of a latent, w = s0/(s0 + s) is the weight that s0 trials have beside the
prior. A hyperprior here is m ~ Beta and, independently, w with the density w^(p-1) (1 - w)^(q-1).
In logit m and log s its tails are exponential; the binomial, w = 0, is an ordinary point of it.

Sources: a uniform weight, Christiansen & Morris, J. Am. Stat. Assoc. 92 (1997) 618, and Daniels,
Can. J. Stat. 27 (1999) 567; (a + b)^(-5/2), Gelman et al., Bayesian Data Analysis, section 5.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from elbo_ref._validation.arguments import check_type, scalar, underflow_is_zero
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta

_LARGEST = 1e6
_SHARE = 4.0
"""The median of s is the typical number of trials divided by this."""


@underflow_is_zero
@dataclass(frozen=True)
class Hyperprior:
    """A distribution of the prior's mean m and concentration s.

    Parameters
    ----------
    mean : Beta
        The distribution of m; uniform by default.
    weight : (p, q)
        w = s0/(s0 + s) has a density proportional to w^(p-1) (1 - w)^(q-1): that of Beta(p, q),
        uniform by default. Here q may be zero or negative: the density then has no finite integral,
        and no posterior unless more latents than -q have successes and failures.
    trials : float, optional
        s0, the median of s where w is uniform; by default a quarter of the harmonic mean of the
        numbers of trials of the latents that have any: a few very large latents leave it as it is.

    Raises
    ------
    TypeError, ValueError
        If `mean` is not a single Beta, or a number is out of range.

    See Also
    --------
    elbo_ref.estimate : takes one.

    Notes
    -----
    s0 depends on the numbers of trials alone, never on the successes: intervals are calibrated on
    average over the hyperprior, for these numbers of trials. A quarter of them, where the harmonic
    mean itself is usual, keeps 95 % intervals above 93 % where latents differ more than that mean
    expects; docs/estimates.md has the figures.

    References
    ----------
    Christiansen, C. L., Morris, C. N. (1997). J. Am. Stat. Assoc. 92, 618.
    Daniels, M. J. (1999). Can. J. Stat. 27, 567.

    Examples
    --------
    >>> Hyperprior()
    Hyperprior(mean=Beta(concentration1=1.0, concentration0=1.0), weight=(1.0, 1.0), trials=None)
    """

    mean: Beta = field(default_factory=lambda: Beta(1.0, 1.0))
    weight: tuple[float, float] = (1.0, 1.0)
    trials: float | None = None

    def __post_init__(self) -> None:
        check_type("mean", self.mean, Beta)
        if self.mean.shape:
            raise ValueError(f"mean must be one Beta, not an array of shape {self.mean.shape}")
        for x in self.mean.arrays():
            scalar("mean: a concentration", float(x), _usual, _RULE)
        if not isinstance(self.weight, tuple | list) or len(self.weight) != 2:
            raise TypeError(f"weight must be a pair of numbers, not {self.weight!r}")
        p = scalar("weight[0]", self.weight[0], _usual, _RULE)
        rule = f"must lie in [-{_LARGEST:g}, {_LARGEST:g}]"
        q = scalar("weight[1]", self.weight[1], lambda x: abs(x) <= _LARGEST, rule)
        object.__setattr__(self, "weight", (p, q))
        if self.trials is not None:
            rule = "must lie in [1e-12, 1e18]"
            trials = scalar("trials", self.trials, lambda x: 1e-12 <= x <= 1e18, rule)
            object.__setattr__(self, "trials", trials)

    @classmethod
    def power(cls, exponent: float) -> Hyperprior:
        """Make the improper density (a + b)^exponent of the two concentrations.

        Parameters
        ----------
        exponent : float
            Below -2; -5/2 is the choice of Bayesian Data Analysis.

        Returns
        -------
        Hyperprior

        Examples
        --------
        >>> Hyperprior.power(-5 / 2).weight
        (0.5, -0.5)
        """
        x = scalar("exponent", exponent, lambda x: -_LARGEST < x < -2, "must lie below -2")
        return cls(weight=(-2 - x, 2 + x), trials=1.0)

    @property
    def mirrored(self) -> Hyperprior:
        """The hyperprior of 1 - m."""
        return replace(self, mean=Beta(*self.mean.arrays()[::-1]))

    @property
    def proper(self) -> bool:
        """True if its integral is finite."""
        return self.weight[1] > 0

    def trials_for(self, counts: Counts) -> float:
        """Return s0 for some counts.

        Examples
        --------
        >>> round(Hyperprior().trials_for(Counts([0, 3, 0], [10, 40, 0])), 12)
        4.0
        """
        if self.trials is not None:
            return self.trials
        says = counts.total_count > 0
        w = counts.multiplicity[says].astype(np.float64)
        if not w.sum():
            return 1.0
        return float(w.sum() / (w @ (1 / counts.total_count[says])) / _SHARE)


_RULE = f"must lie in [0.01, {_LARGEST:g}]"


def _usual(x: float) -> bool:
    return 0.01 <= x <= _LARGEST
