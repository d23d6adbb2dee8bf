"""Somebody's parameters in the roles that they have here.

The roles are ``prior.concentration1``, ``prior.concentration0`` and, with the names of the guide's
parameters, ``guide.concentration1``, ``guide.loc``, ...: `roles_of` lists them. Somebody's
parameters may be called anything. `names` says which has which role; what it leaves out is guessed
only where one name says what it is (``guide_alpha``, ``AutoNormal.locs.c``) and no other does, and
every guess becomes a note.

A point may be given as a probability, ``guide.probs``, in place of ``guide.logits``.

A parameter is one set of values, of shape () or (1,) or, one for each latent, (G,), or a history
with a leading axis of steps. Where each latent has a parameter of its own, ``a_0``, ``a_1``, ...,
``a_*`` names them all, in the order of their numbers.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray, float_in
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import GUIDES, Guide
from elbo_ref.io.parameters import Parameters
from elbo_ref.objectives.base import Task
from elbo_ref.svi.parameters import NAMES, Learned

PRIOR_ROLES = tuple(f"prior.{name}" for name in NAMES)
_LOGITS, _PROBS = "guide.logits", "guide.probs"
_SYNONYMS = {
    "concentration1": ("concentration1", "alpha"),
    "concentration0": ("concentration0", "beta"),
    "loc": ("loc", "locs", "mu", "mean"),
    "scale": ("scale", "scales", "sigma"),
    "logits": ("logits", "loc"),
}
_POSITIVE = ("concentration1", "concentration0", "scale")
_AUTOGUIDES = ("autonormal", "autodelta", "autodiagonalnormal", "autolaplaceapproximation")
_OWNERS = {
    "guide": ("guide", "q", "posterior", "variational", *_AUTOGUIDES),
    "prior": ("prior", "p", "model"),
}


class ParameterRoles(NamedTuple):
    """Values of parameters at T steps, by role.

    Attributes
    ----------
    prior : ndarray of shape (2, T, 1)
        concentration1 and concentration0.
    guide_parameters : ndarray of shape (k, T, G)
        Constrained, a row for each of ``guide.parameter_names``; G is 1 where all latents share
        them.
    names : mapping of str to str
        The name that was taken for each role; a role whose value is held fixed has none.
    guessed : tuple of str
        Roles that the caller's `names` did not assign.
    """

    prior: FloatArray
    guide_parameters: FloatArray
    names: Mapping[str, str]
    guessed: tuple[str, ...]

    @property
    def num_steps(self) -> int:
        """Number of sets of values, T."""
        return int(self.prior.shape[1])


def roles_of(guide: Guide) -> tuple[str, ...]:
    """Roles of the prior's and the guide's parameters."""
    prior = PRIOR_ROLES if guide.has_prior else ()
    return prior + tuple(f"guide.{name}" for name in guide.parameter_names)


def learned_of(roles: Collection[str]) -> Learned:
    """Concentrations of the prior that are among the roles.

    Examples
    --------
    >>> learned_of(["prior.concentration0", "guide.loc"])
    'concentration0'
    """
    first, second = (role in roles for role in PRIOR_ROLES)
    if first and second:
        return True
    return "concentration1" if first else "concentration0" if second else False


def assign_roles(
    values: Mapping[str, FloatArray],
    guide: Guide,
    size: int,
    *,
    names: Mapping[str, str] | None = None,
    prior: Beta | None = None,
) -> ParameterRoles:
    """Put parameters of a guide of `size` latents into their roles.

    `names` has for a role the name of the parameter that has it, `prior` the concentrations where
    `values` does not hold them.

    Raises
    ------
    ValueError
        If a role is not known, has no parameter, or has values of the wrong shape or sign.
    """
    roles, values, names = roles_of(guide), dict(values), dict(names or {})
    if _LOGITS in roles:
        names = _as_logits(values, names)
    for name in names.values():
        if "*" in name and name not in values:
            _stack_numbered(values, name)
    _check_names(names, values, roles)
    held = dict(zip(PRIOR_ROLES, prior.arrays(), strict=True)) if prior else {}
    guessed = _guessed(values, names, roles, held)
    taken, arrays = names | guessed, {}
    for role in roles:
        if role not in taken and role not in held:
            raise ValueError(f"names= does not say which parameter is {role}; {_listed(values)}")
        arrays[role] = values[taken[role]] if role in taken else np.asarray(held[role])
    tables, steps = _tables(arrays, taken, guide, size)
    concentrations = np.empty((len(NAMES), steps, 1))
    for row, role in zip(concentrations, PRIOR_ROLES, strict=True):
        row[:] = tables.get(role, 1.0)
    params = np.empty((len(guide.parameter_names), steps, 1 if guide.shared else size))
    for row, name in zip(params, guide.parameter_names, strict=True):
        row[:] = tables[f"guide.{name}"]
    unsaid = tuple(role for role, name in guessed.items() if role != name)
    return ParameterRoles(concentrations, params, taken, unsaid)


def _as_logits(values: dict[str, FloatArray], names: dict[str, str]) -> dict[str, str]:
    """Turn the parameter that is a probability into its logit; return the names with it."""
    points = [name for name in values if {"probs", "autodelta"} & {*_split(name)}]
    name = names.get(_PROBS, points[0] if len(points) == 1 and _LOGITS not in names else None)
    if name in values:
        values[name] = sc.logit(float_in(name, values[name], 0.0, 1.0))
    kept = {role: x for role, x in names.items() if role != _PROBS}
    return kept if name is None else {**kept, _LOGITS: name}


def _stack_numbered(values: dict[str, FloatArray], pattern: str) -> None:
    """Replace the parameters that differ in a number by one array, under the pattern."""
    form = re.escape(pattern).replace(r"\*", "([0-9]+)", 1)
    numbered = sorted(
        (int(match[1]), name) for name in values if (match := re.fullmatch(form, name)) is not None
    )
    shapes = {values[name].shape for _, name in numbered}
    if len({number for number, _ in numbered}) < len(numbered) or len(shapes) > 1:
        listed = ", ".join(f"{name}: {values[name].shape}" for _, name in numbered)
        raise ValueError(f"names: {pattern!r} is one number and one shape each, not {listed}")
    if numbered:
        values[pattern] = np.stack([values.pop(name) for _, name in numbered], axis=-1)


def _check_names(
    names: Mapping[str, str], values: Mapping[str, FloatArray], roles: tuple[str, ...]
) -> None:
    for role, name in names.items():
        if role not in roles:
            raise ValueError(f"names: {role!r} is none of the roles {', '.join(roles)}")
        if name not in values:
            raise ValueError(f"names: there is no parameter {name!r}; {_listed(values)}")
    for name, times in Counter(names.values()).items():
        if times > 1:
            raise ValueError(f"names: {name!r} has two roles")


def _guessed(
    values: Collection[str],
    names: Mapping[str, str],
    roles: tuple[str, ...],
    held: Collection[str],
) -> dict[str, str]:
    """Roles that `names` leaves out and one name alone says it has; none if one has two."""
    left = [name for name in values if name not in names.values()]
    guessed = {}
    for role in roles:
        fitting = [name for name in left if _says(name, role, roles)]
        if role in names:
            continue
        if role in left:
            guessed[role] = role
        elif role not in held and len(fitting) == 1:
            guessed[role] = fitting[0]
    return guessed if len(set(guessed.values())) == len(guessed) else {}


def _says(name: str, role: str, roles: tuple[str, ...]) -> bool:
    """Return True if a name says that its parameter has a role."""
    words = {*_split(name)}
    owner, what = role.split(".")
    only_owner = all(other.startswith(f"{owner}.") for other in roles)
    owned = only_owner or not words.isdisjoint(_OWNERS[owner])
    return owned and not words.isdisjoint(_SYNONYMS.get(what, (what,)))


def _split(name: str) -> list[str]:
    """``AutoNormal.locs.c`` as autonormal, locs, c; digits stay with ``concentration``."""
    return [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]


def _listed(values: Collection[str]) -> str:
    return f"the store has: {', '.join(sorted(values)) or 'nothing'}"


def _tables(
    arrays: Mapping[str, FloatArray], names: Mapping[str, str], guide: Guide, size: int
) -> tuple[dict[str, FloatArray], int]:
    """Arrange the values of each role as (steps, latents), one of either for all; and the steps."""
    priors = {x.size for role, x in arrays.items() if role in PRIOR_ROLES and x.ndim}
    histories = {len(x) for x in arrays.values() if x.ndim > 1}
    tables = {}
    for role, array in arrays.items():
        columns = 1 if guide.shared or role in PRIOR_ROLES else size
        by_step = array.size in (priors if array.size != columns else histories) or columns == 1
        table = array[:, None] if array.ndim == 1 and by_step else np.atleast_2d(array)
        tables[role] = table.reshape(len(table), math.prod(table.shape[1:]))
        if tables[role].shape[1] not in (1, columns):
            raise ValueError(
                f"{names.get(role, role)} ({role}) has shape {array.shape}: one value"
                + (f" or {columns}, one for each latent," if columns > 1 else "")
                + " is needed, or a history of that"
            )
    steps = {len(table) for table in tables.values()} - {1}
    if len(steps) > 1:
        lengths = ", ".join(f"{role}: {len(table)}" for role, table in tables.items())
        raise ValueError(f"the parameters have histories of different lengths: {lengths}")
    return tables, steps.pop() if steps else 1


class Assignment(NamedTuple):
    """Parameters in their roles, the counts and the guide as they must be for it, and notes."""

    counts: Counts
    guide: Guide
    roles: ParameterRoles
    findings: tuple[Finding, ...]


def assign(
    counts: Counts,
    given: Parameters,
    guide: Guide,
    names: Mapping[str, str] | None,
    prior: Beta | None,
) -> Assignment:
    """Put somebody's parameters into their roles as `assign_roles` does, and note what was assumed.

    A store of the prior's parameters alone belongs to an empty guide; concentrations that are not
    positive are taken for logarithms; latents that have parameters of their own get an entry each.
    """
    findings = [Finding("parameters", text, status="note") for text in _grouped(given.notes)]
    if _prior_only(given.values, guide, names, prior):
        what = f"the store has no parameter of a {guide.name} guide"
        reason = "from the names alone"
        findings.append(Finding("latent_not_in_guide", what, reason=reason, status="mistake"))
        guide = GUIDES["empty"]
    counts = _with_own_entries(counts, given.values, guide)
    roles = assign_roles(given.values, guide, len(counts), names=names, prior=prior)
    for role in roles.guessed:
        taken = f"{roles.names[role]} was taken for {role}"
        findings.append(Finding("names", taken, status="note"))
    roles, unconstrained = _made_positive(roles, guide)
    if not guide.parameter_names:
        params = Task(guide, counts).guide.constrain(roles.guide_parameters)
        roles = roles._replace(guide_parameters=params)
    return Assignment(counts, guide, roles, (*findings, *unconstrained))


def _grouped(notes: tuple[str, ...]) -> list[str]:
    """Group notes that say the same of several parameters."""
    names: dict[str, list[str]] = {}
    for text in notes:
        name, _, what = text.partition(": ")
        names.setdefault(what, []).append(name)
    return [f"{', '.join(group)}: {what}" for what, group in names.items()]


def _prior_only(
    values: Collection[str], guide: Guide, names: Mapping[str, str] | None, prior: Beta | None
) -> bool:
    """Return True if the store holds the prior's parameters and none of a guide with some."""
    assigned = {*(names or {})}
    if (
        not (guide.parameter_names and guide.has_prior)
        or prior is not None
        or any(role.startswith("guide.") for role in assigned)
    ):
        return False
    of_guide = any(not {*_split(name)}.isdisjoint(_OWNERS["guide"]) for name in values)
    return len(values) == len(NAMES) and (assigned.issuperset(PRIOR_ROLES) or not of_guide)


def one_by_one(counts: Counts) -> Counts:
    """Give each latent an entry of its own.

    Examples
    --------
    >>> one_by_one(Counts([0, 1], 1, multiplicity=[2, 1]))
    Counts(successes=[0 0 1], total_count=[1 1 1])
    """
    times = counts.multiplicity
    columns = counts.successes, counts.total_count, np.ones_like(times), counts.log_split
    return Counts.from_columns(*(np.repeat(column, times) for column in columns))


def _with_own_entries(counts: Counts, values: Mapping[str, FloatArray], guide: Guide) -> Counts:
    """Give each latent an entry of its own if there are parameters for each."""
    sizes = {array.shape[-1] for array in values.values() if array.ndim}
    latents = counts.num_latents
    if not guide.parameter_names or len(counts) == latents or latents not in sizes:
        return counts
    return one_by_one(counts)


def _made_positive(roles: ParameterRoles, guide: Guide) -> tuple[ParameterRoles, list[Finding]]:
    """Apply exp if a concentration or scale is not positive."""
    rows = [name in _POSITIVE for name in guide.parameter_names]
    prior, params = roles.prior, roles.guide_parameters[rows]
    for owner, array in (("prior", prior), ("guide", params)):
        if not np.isfinite(array).all():
            where = int(np.argmax(~np.isfinite(array).all(axis=(0, 2))))
            raise ValueError(f"the {owner}'s parameters are not finite at step {where}")
    if (prior > 0).all() and (params > 0).all():
        return roles, []
    positive = roles.guide_parameters.copy()
    positive[rows] = np.exp(params)
    finding = Finding(
        "unconstrained_values",
        "the smallest parameter that must be positive",
        theirs=float(min(prior.min(), params.min(initial=np.inf))),
        reason="exp was applied to go on",
        status="mistake",
    )
    return roles._replace(prior=np.exp(prior), guide_parameters=positive), [finding]
