r"""The pathwise derivatives of Beta draws by the concentrations, to the last digits.

Write a = concentration1, b = concentration0, s = a + b. A draw c of Beta(a, b) is held as its logit
y, whose distribution function F and density f are

    F(y) = I_c(a, b),     f(y) = c^a (1 - c)^b / B(a, b),     c = sigma(y) = 1/(1 + e^-y).

A draw keeps its quantile while the concentrations move: F(y; a, b) = u with u fixed gives

    P = dy/da = -(dF/da) / f > 0,          Q = dy/db = -(dF/db) / f < 0.                      (E6)

**One equation.** Since (log f)' = a - s c and d log f/da = log c - psi(a) + psi(s), differentiating
P f = -dF/da by y gives a linear equation of the first order for each derivative,

    P' = (s c - a) P + psi(a) - psi(s) - log c,                                               (1)
    Q' = (s c - a) Q + psi(b) - psi(s) - log(1 - c).

Its other solutions differ by a multiple of 1/f, which explodes in both tails: P and Q are the ones
that do not. They are found in four ways, each where it is best (`field` chooses):

* `fraction`: by the continued fraction of F/f and its derivatives, for most draws;
* `mode`: in powers of c/m - 1, from the mode m = a/s, for two large concentrations;
* `series`: in powers of c, from the end c = 0, above the mode of a small a;
* `tail`: by variation of constants, an integral over the tail, everywhere else.

One pair of concentrations for all draws has ways of its own: `few` draws share the coefficients of
the two power series, and for very many a `table` is made, as P and Q are then smooth functions of y
alone, linear in one tail and constant in the other.

**Reflection.** 1 - c is a draw of Beta(b, a), so dy/db (y; a, b) = -dy/da (-y; b, a): each way is
written for one side only, and a draw may be seen from either.

docs/pathwise.md derives it all, with the error of each part.

Sources: M. Figurnov, S. Mohamed & A. Mnih, "Implicit Reparameterization Gradients" (2018), section
3, for (E6); M. Jankowiak & F. Obermeyer, "Pathwise Derivatives Beyond the Reparameterization Trick"
(2018), who approximate the same derivative for PyTorch and state the continuity equation, of which
(1) is the integral in y. The solutions and the table are worked out here.
"""

from __future__ import annotations

from elbo_ref.distributions.pathwise.gradient import (
    PathwiseGradient,
    logit_derivatives,
    of_pairs,
    pathwise_gradient,
    pathwise_gradient_of_draw,
)

__all__ = [
    "PathwiseGradient",
    "logit_derivatives",
    "of_pairs",
    "pathwise_gradient",
    "pathwise_gradient_of_draw",
]
