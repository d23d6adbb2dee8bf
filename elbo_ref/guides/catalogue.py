"""The guides as data: one line each says where c comes from and which log densities are counted.

`elbo_ref.guides.base` derives everything else from the fields. With prior_weight = source_weight
and no Jacobian a guide maximises an ELBO,

    E_q[log lik] - KL(q || prior),      at most the evidence, and equal to it at the posterior (E4).

* `beta` has its own two concentrations for each latent (E3), `beta_shared` one pair for all: but
  for coefficients its objective is G times the ELBO of one latent with the average counts.
* `normal` is Pyro's ``AutoNormal``, normal on the logit; its gap to the evidence is not zero.
* `conjugate` draws from the posterior, with the prior's parameters in it: c cancels from f, and
  each step is one on the exact gradient of the evidence, without noise. `conjugate_detached` takes
  the posterior as constant (``.detach()``): the gradient is that of log p alone, of the same
  expectation (Fisher's identity). Neither is the EM algorithm, which would maximise over the prior
  under a posterior that is held.
* `tied` draws from the prior's own two parameters. The densities cancel, and what is maximised is
  E_prior[log lik] (E8), whose supremum is the pooled binomial likelihood.

The others are not ELBOs:

* `empty` contains no sample statement. Pyro then draws c in the model, counts its density and
  subtracts nothing: J = E_prior[log lik] - H(prior) (E7), which has no maximum, as a prior that
  collapses to a point sends it to infinity.
* `delta` is Pyro's ``AutoDelta``: the joint density of data and a point c, under a fixed prior the
  MAP of c. Pyro starts c at a random median of prior draws; ours starts at 1/2.
* `laplace` is Pyro's ``AutoLaplaceApproximation``: the same with the density of the *logit*; what
  is reached is the normal with that mode and curvature, s = 1/sqrt((A' + D') c (1 - c)).
* `none` has no latent at all: the binomial likelihood, maximised by c = K/N.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from elbo_ref._validation.arguments import check_known
from elbo_ref.distributions.beta import Beta
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL, LogitNormal
from elbo_ref.distributions.point import POINT, Delta, Parameter
from elbo_ref.guides.base import Guide, GuideValue

GuideName: TypeAlias = Literal[
    "beta",
    "empty",
    "tied",
    "none",
    "beta_shared",
    "conjugate",
    "conjugate_detached",
    "delta",
    "normal",
    "laplace",
]
"""The names that ``guide=`` takes; a test compares them with the catalogue."""

GUIDES: dict[str, Guide] = {
    guide.name: guide
    for guide in (
        Guide("beta", BETA, Beta),
        Guide("empty", BETA, Beta, origin="prior", source_weight=0),
        Guide("tied", BETA, Beta, origin="prior"),
        Guide("none", POINT, Parameter, prior_weight=0, source_weight=0),
        Guide("beta_shared", BETA, Beta, shared=True),
        Guide("conjugate", BETA, Beta, origin="posterior"),
        Guide("conjugate_detached", BETA, Beta, origin="posterior", detached=True),
        Guide("delta", POINT, Delta, source_weight=0),
        Guide("normal", LOGIT_NORMAL, LogitNormal),
        Guide("laplace", POINT, LogitNormal, source_weight=0, jacobian=1),
    )
}


def find(guide: str | GuideValue) -> Guide:
    """Find the guide that a name, or a value to start from, stands for.

    Examples
    --------
    >>> find("tied").origin, find(Beta(2.0, 3.0)).name
    ('prior', 'beta')
    """
    kinds = get_args(GuideValue)
    if type(guide) in kinds:
        return next(family for family in GUIDES.values() if family.kind is type(guide))
    if not isinstance(guide, str):
        values = ", ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"guide must be a name or one of {values}, not {type(guide).__name__}")
    check_known("guide", guide, GUIDES)
    return GUIDES[guide]
