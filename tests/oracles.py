"""Second routes that tests of several packages share; none of them asks the package.

`objective` is written from the table of the guides, in psi and log-gammas, for autograd.
`log_evidence` is (E1) in log-gammas. The rest is statistics of samples.
"""

from dataclasses import fields, replace

import autograd.numpy as anp
import numpy as np
from autograd.scipy.special import gammaln, psi

Z = np.linspace(-9.0, 9.0, 1801)
WEIGHTS = np.exp(-Z * Z / 2) / np.exp(-Z * Z / 2).sum()


def log_beta(a, b):
    return gammaln(a) + gammaln(b) - gammaln(a + b)


def moments(a, b):
    """E log c and E log(1 - c) under a Beta."""
    return psi(a) - psi(a + b), psi(b) - psi(a + b)


def logs_at(y):
    """log c and log(1 - c) at a logit."""
    return -anp.logaddexp(0.0, -y), -anp.logaddexp(0.0, y)


def _linear(up, down, logs):
    return up * logs[0] + down * logs[1]


def _by_beta(a0, b0, k, f, own):
    a, b = anp.exp(own[0]), anp.exp(own[1])
    return _linear(a0 + k - a, b0 + f - b, moments(a, b)) + log_beta(a, b) - log_beta(a0, b0)


def _by_normal(a0, b0, k, f, own):
    loc, scale = own[0], anp.logaddexp(0.0, own[1])
    up, down = (anp.dot(WEIGHTS, row) for row in logs_at(loc + scale * Z[:, None]))
    entropy = anp.log(scale) + 0.5 * np.log(2 * np.pi * np.e)
    return _linear(a0 + k, b0 + f, (up, down)) + entropy - log_beta(a0, b0)


def _conjugate(a, b, k, f, own):
    return log_beta(a + k, b + f) - log_beta(a, b)


OBJECTIVES = {
    "beta": (2, _by_beta),
    "beta_shared": (2, _by_beta),
    "normal": (2, _by_normal),
    "empty": (
        0,
        lambda a, b, k, f, _: _linear(a - 1 + k, b - 1 + f, moments(a, b)) - log_beta(a, b),
    ),
    "tied": (0, lambda a, b, k, f, _: _linear(k, f, moments(a, b))),
    "conjugate": (0, _conjugate),
    "conjugate_detached": (0, _conjugate),
    "delta": (
        1,
        lambda a, b, k, f, y: _linear(a - 1 + k, b - 1 + f, logs_at(y[0])) - log_beta(a, b),
    ),
    "laplace": (1, lambda a, b, k, f, y: _linear(a + k, b + f, logs_at(y[0])) - log_beta(a, b)),
    "none": (1, lambda a, b, k, f, y: _linear(k, f, logs_at(y[0]))),
}
"""For each guide how many parameters a latent has, and the objective of one latent without logC."""


def objective(vector, name, counts, prior=None):
    """A guide's objective at unconstrained parameters, the prior's first unless it is given."""
    num_own, of_latent = OBJECTIVES[name]
    if prior is None:
        (a, b), vector = (anp.exp(vector[0]), anp.exp(vector[1])), vector[2:]
    else:
        a, b = prior
    own = anp.reshape(vector, (num_own, -1)) if num_own else None
    k, f, w = (x.astype(float) for x in (counts.successes, counts.failures, counts.multiplicity))
    return anp.sum(w * (of_latent(a, b, k, f, own) + counts.log_coefficient))


def log_evidence(concentrations, counts):
    """(E1) of a prior given as (a, b)."""
    return objective(anp.zeros(0), "conjugate", counts, concentrations)


def planted(guide, fault):
    """A guide with a fault planted: a class overrides methods of its own, or of its source."""
    if any(name in vars(fault) for name in ("pathwise", "sample_logits")):
        return replace(guide, source=type("Faulty", (fault, type(guide.source)), {})())
    held = {field.name: getattr(guide, field.name) for field in fields(guide)}
    return type("Faulty", (fault, type(guide)), {})(**held)


def mean_scores(rows, wanted, allowance=0.0):
    """How many standard errors the means of columns are from what is wanted, beyond an allowance.

    Where nothing is random, the rounding of the largest is the error.
    """
    wanted = np.asarray(wanted)
    error = rows.std(axis=0, ddof=1) / np.sqrt(len(rows))
    away = np.maximum(np.abs(rows.mean(axis=0) - wanted) - allowance, 0)
    return away / np.maximum(error, 1e-10 * np.abs(wanted).max())


def variance_scores(rows, wanted):
    """The same of the variances of columns."""
    squares = (rows - rows.mean(axis=0)) ** 2
    error = squares.std(axis=0) / np.sqrt(len(rows))
    return np.abs(squares.mean(axis=0) - wanted) / np.maximum(error, 1e-12)


def slope_along(value, at, direction):
    """Fourth-order central difference of `value` at `at`, in steps of 1e-3 of `direction`."""
    near, far = (
        (value(at + h * direction) - value(at - h * direction)) / (2 * h) for h in (1e-3, 2e-3)
    )
    return (4 * near - far) / 3
