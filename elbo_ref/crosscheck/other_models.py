"""Names of parameters and of guides that show another model than the Beta-Binomial.

An automatic guide names its parameters by the latent sites: several of them, beside sites of a loop
that differ in a number, are latents that the Beta-Binomial does not have.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from elbo_ref.crosscheck.class_names import OTHER_GUIDES
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.names import words

_SITE = re.compile(
    r"(?:.*\.)?(?:locs|scales)\.(.+?)(?:_unconstrained)?"
    r"|AutoDelta\.(.+?)(?:_unconstrained)?"
    r"|(.+)_auto_(?:loc|scale)"
)
_CORRELATED = (("scale", "tril"), ("cov", "factor"))
"""Last words of parameters that make latents depend on each other in a guide."""


def outside(what: str) -> tuple[Finding, ...]:
    """Make the finding of another model."""
    return (Finding("outside_model", what, status="outside"),)


def guide_of_other_family(name: str) -> tuple[Finding, ...]:
    """Find a class of guides whose family is none of those here."""
    what = f"the guide is an {name}, which is of another family than those known here"
    return outside(what) if name in OTHER_GUIDES else ()


def shown_by_names(names: Collection[str]) -> tuple[Finding, ...]:
    """Find a guide of another family, or other latents, in the names of a store.

    Examples
    --------
    >>> shown_by_names(["AutoNormal.locs.c_0", "AutoNormal.locs.c_1"])
    ()
    >>> (found,) = shown_by_names(["AutoNormal.locs.kappa", "AutoNormal.locs.p"])
    >>> found.quantity
    'the guide has several latent sites, kappa and p, where one probability each is known here'
    """
    for name in names:
        first = name.partition(".")[0]
        other = guide_of_other_family(first)
        if other:
            return other
        if tuple(words(name)[-2:]) in _CORRELATED:
            return outside(f"the guide is of another family than those known here: it has {name}")
    matches = [_SITE.fullmatch(name) for name in names]
    sites = sorted({next(filter(None, match.groups())) for match in matches if match})
    if len({re.sub(r"\d+", "", site) for site in sites}) < 2:
        return ()
    listed = f"{', '.join(sites[:-1])} and {sites[-1]}"
    what = f"the guide has several latent sites, {listed}, where one probability each is known here"
    return outside(what)
