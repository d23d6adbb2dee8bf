"""Names of parameters and of guides that show another model than the Beta-Binomial.

An automatic guide names its parameters by the latent sites: several of them, beside sites of a loop
that differ in a number, are latents that the Beta-Binomial does not have.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.claims import UnknownRoleError
from elbo_ref.crosscheck.class_names import OTHER_GUIDES
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.names import (
    is_foreign,
    meaning_of,
    of_concentration,
    several_sites,
    words,
)
from elbo_ref.io.parameters import Parameters

_SITE = re.compile(
    r"(?:.*\.)?(?:locs|scales)\.(.+?)(?:_unconstrained)?"
    r"|AutoDelta\.(.+?)(?:_unconstrained)?"
    r"|(.+)_auto_(?:loc|scale)"
)
_CORRELATED = (("scale", "tril"), ("cov", "factor"))
"""Last words of parameters that make latents depend on each other in a guide."""


_OF_NORMAL_PRIOR = ("prior.loc", "prior.scale")
"""Roles of a normal prior, as of the logit of c."""


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


def prior_by_roles(names: Mapping[str, str] | None) -> tuple[Finding, ...]:
    """Find a prior that somebody says to have a location or a scale.

    Examples
    --------
    >>> (found,) = prior_by_roles({"prior.loc": "mu", "prior.scale": "sigma"})
    >>> found.quantity
    'the prior is said to have a location or a scale (prior.loc, prior.scale), and a Beta has not'
    """
    said = [role for role in names or {} if role in _OF_NORMAL_PRIOR]
    listed = ", ".join(said)
    what = f"the prior is said to have a location or a scale ({listed}), and a Beta has not"
    return outside(what) if said else ()


def prior_of_another_model(
    unknown: UnknownRoleError, given: Parameters, num_latents: int
) -> tuple[Finding, ...]:
    """Find parameters, in place of the prior's, that no Beta prior of all latents has.

    The priors of several sites, a location that may be any real number beside a scale, or weights.
    """
    sites = several_sites(unknown.left, num_latents)
    if sites:
        other = f"{len(sites)} latent sites, each with a prior of its own ({'; '.join(sites)})"
        other += "; the rows and the parameters of one site can be judged by themselves"
        return outside(other)
    if "prior" not in unknown.owners:
        return ()
    said = {name: meaning_of(name) for name in unknown.left}
    meant = {*said.values()}
    free = all(
        given.constraints.get(name) == "real" or not _unit(unknown.left[name])
        for name, meaning in said.items()
        if meaning == "a location"
    )
    normal = {"a location", "a scale"} <= meant and free
    normal = normal and not any(map(of_concentration, unknown.left))
    if not normal and "weights" not in meant:
        return ()
    wanted = {"a location", "a scale"} if normal else {"weights"}
    names = [name for name, meaning in said.items() if meaning in wanted]
    verb = "are" if len(names) > 1 else "is"
    what = f"{', '.join(names)} {verb} named as {' and '.join(sorted(wanted))}"
    return outside(f"{what}, which a Beta prior of all latents has not")


def _unit(values: FloatArray) -> bool:
    return bool(((values > 0) & (values < 1)).all())


def explained_by_another_model(findings: list[Finding]) -> list[Finding]:
    """Take losses that no mistake explains, beside a part of another model, for that model's.

    A parameter that no role uses is one if its name is that of no prior, guide or network here.
    """
    unused = [name for x in findings if x.name == "unused" for name in x.of.split(", ")]
    foreign = [name for name in unused if is_foreign(name)]
    mistakes = [x for x in findings if x.status == "mistake"]
    if not foreign or {x.name for x in mistakes} != {"loss_mismatch"}:
        return findings
    listed = [f"{name} ({meaning_of(name)})" for name in foreign]
    what = "the losses do not follow from these parameters alone, and the store has "
    what += f"{', '.join(listed)}, which the Beta-Binomial has not"
    noted = [x._replace(status="note") if x in mistakes else x for x in findings]
    return [*outside(what), *noted]
