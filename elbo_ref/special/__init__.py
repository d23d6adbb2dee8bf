"""The few special-function pieces that SciPy does not give accurately.

Everything here exists because two large numbers were about to be subtracted. Log-gamma is split
into the part that cancels on paper and a small remainder,

    log Gamma(x + 1) = x log x - x + R(x),        R(0) = 0,   R(x) ~ log(2 pi x) / 2,

and the x log x parts of a whole expression are then collected into *deviances*

    d(O, E) = O log(O / E) - (O - E) >= 0,

whose sum has one sign and cannot cancel. A deviance is as accurate as the difference O - E that
it is given, and that difference always has the form (a d - b c) / total, so `cross_difference`
forms a d - b c without rounding. Differences of digamma and trigamma values are taken from the
asymptotic series where the values themselves would cancel.

Sources: C. Loader, "Fast and Accurate Computation of Binomial Probabilities" (2000), for the
deviance form of the binomial (his ``bd0`` subtracts O - E itself; ours is handed the difference);
T. J. Dekker, Numer. Math. 18 (1971) 224, for the error-free product; NIST DLMF 5.11.1, 5.11.2 and
5.15.8 for the asymptotic series.
"""

from __future__ import annotations

from elbo_ref.special.arithmetic import (
    blocks,
    cross_difference,
    deviance,
    gauss_legendre,
)
from elbo_ref.special.digamma import (
    SHIFT,
    digamma_difference,
    digamma_remainders,
    digamma_second_difference,
    digamma_trigamma,
    gap_slope,
    jensen_gap_difference,
    jensen_gaps,
    trigamma,
    trigamma_difference,
    trigamma_excess,
    trigamma_excess_difference,
)
from elbo_ref.special.incomplete_beta import beta_share
from elbo_ref.special.log_gamma import (
    binomial_deviance,
    log_beta,
    log_beta_remainder,
    log_binomial,
    log_choose,
    log_choose_remainder,
    log_factorial_remainder,
    log_rising_ratio,
)
from elbo_ref.special.roots import bisected, root

__all__ = [
    "SHIFT",
    "beta_share",
    "binomial_deviance",
    "bisected",
    "blocks",
    "cross_difference",
    "deviance",
    "digamma_difference",
    "digamma_remainders",
    "digamma_second_difference",
    "digamma_trigamma",
    "gap_slope",
    "gauss_legendre",
    "jensen_gap_difference",
    "jensen_gaps",
    "log_beta",
    "log_beta_remainder",
    "log_binomial",
    "log_choose",
    "log_choose_remainder",
    "log_factorial_remainder",
    "log_rising_ratio",
    "root",
    "trigamma",
    "trigamma_difference",
    "trigamma_excess",
    "trigamma_excess_difference",
]
