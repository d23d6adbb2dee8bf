"""Other latents, or several priors, as the shapes of somebody's parameters show them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from elbo_ref.counts import Counts
from elbo_ref.crosscheck.claims import Claims
from elbo_ref.crosscheck.expressions import Expression
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.io.parameters import Parameters

_OF_PRIOR = tuple(
    f"prior.{x}" for x in ("concentration1", "concentration0", "mean", "concentration")
)


def shared_by_name(claims: Claims) -> Iterator[Finding]:
    """Find parameters that are the prior's and the guide's by the names themselves."""
    of_prior = {x.name: role for role, x in claims.expressions.items() if role.startswith("prior.")}
    for role, x in claims.expressions.items():
        if role.startswith("guide.") and x.number is None and x.name in of_prior:
            if x not in (claims.expressions[of_prior[x.name]],):
                continue
            what = f"{x.name} is {of_prior[x.name]} and {role}"
            reason = "from the names alone"
            yield Finding("shared_parameter", what, reason=reason, status="mistake")


def more_outcomes(claims: Claims) -> tuple[Finding, ...]:
    """Find an array of concentrations of three outcomes or more."""
    for role, x in claims.expressions.items():
        shape = x.of(claims.values).shape
        if role.endswith(".concentrations") and 2 not in shape and shape[-1:] > (2,):
            what = f"{claims.texts[role]} has {shape[-1]} concentrations: more than two outcomes"
            return (Finding("outside_model", what, status="outside"),)
    return ()


def other_latents(counts: Counts, claims: Claims, num_losses: int) -> tuple[Finding, ...]:
    """Find an axis of latents that the counts do not have, or that the prior must not have."""
    shapes = {
        role: array.shape[: -1 if array.shape[-1:] == (1,) else None]
        for role, array in claims.arrays().items()
        if role not in claims.held
    }
    outside = _priors_of_latents(shapes, counts.num_latents, num_losses)
    shared = tuple(shared_by_name(claims)) if outside else ()
    if shared:
        return shared
    if outside:
        names = ", ".join(dict.fromkeys(map(claims.text_of, outside)))
        what = f"every latent has a prior of its own ({names}: {counts.num_latents} values)"
        return (Finding("outside_model", what, status="outside"),)
    fewest = min(map(len, shapes.values()), default=0)
    known = {len(counts), counts.num_latents, *({num_losses, num_losses + 1} if num_losses else ())}
    for role, shape in shapes.items():
        sizes = {shape[-1], math.prod(shape[fewest:])} if len(shape) > fewest else known
        if role.startswith("guide.") and known.isdisjoint(sizes):
            what = f"{claims.text_of(role)} has values for {shape[-1]} latents"
            what += f"; the counts have {counts.num_latents}"
            regrouped = 1 in (shape[-1], len(counts)) or shape[-1] in _trials(counts)
            name = "wrong_latents" if regrouped else "wrong_counts"
            return (Finding(name, what, reason="from the shapes alone", status="mistake"),)
    return ()


def _trials(counts: Counts) -> tuple[int, int]:
    """Return the numbers of all trials, and of all in one group."""
    return int(counts.multiplicity @ counts.total_count), int(counts.total_count.max())


def shared_by_shape(counts: Counts, claims: Claims, given: Parameters) -> tuple[Finding, ...]:
    """Find a prior with values for each latent in a store that has nothing of the guide's own.

    A store is no history: the guide made these parameters first, under the prior's name.
    """
    size, roles = counts.num_latents, claims.expressions
    if size == 1 or any(role.startswith("guide.") for role in roles):
        return ()
    names = [name for name in _stored(roles.values(), given) if given.values[name].size == size]
    what = f"{', '.join(names)}: values for {size} latents, which the guide made"
    reason = "from the shapes of a store"
    return (Finding("shared_parameter", what, reason=reason, status="mistake"),) * bool(names)


def several_priors(counts: Counts, claims: Claims, given: Parameters) -> tuple[Finding, ...]:
    """Find a prior with several values, of fewer latents, in a store, which is no history."""
    of_prior = (x for role, x in claims.expressions.items() if role in _OF_PRIOR)
    names = [x for x in _stored(of_prior, given) if 1 < given.values[x].size < counts.num_latents]
    if not names:
        return ()
    what = (
        f"{', '.join(names)}: {given.values[names[0]].size} values, a prior for each of some groups"
    )
    reason = f"hand in a group by itself, with {names[0]}[0] for its parameter"
    return (Finding("outside_model", what, reason=reason, status="outside"),)


def _stored(roles: Iterable[Expression], given: Parameters) -> list[str]:
    """Return the names of parameters of a store that stand in a role whole."""
    return sorted({x.name for x in roles if x.name in given.constraints and not x.rows})


def _priors_of_latents(
    shapes: Mapping[str, tuple[int, ...]], size: int, num_losses: int
) -> list[str]:
    """Return the roles of the prior that have an axis of latents, as the guide's have."""
    each = {role: shape for role, shape in shapes.items() if shape[-1:] == (size,) and size > 1}
    axes = {len(shape) for role, shape in each.items() if role.startswith("guide.")}
    found = [x for x in each if x.startswith("prior.") and len(each[x]) in axes]
    history = axes == {1} and size in (num_losses, num_losses + 1)
    return [] if history else found
