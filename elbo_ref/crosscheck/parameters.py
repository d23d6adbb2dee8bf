"""Somebody's parameters in the roles that they have here.

The roles are ``prior.concentration1``, ``prior.concentration0`` and, with the names of the guide's
parameters, ``guide.concentration1``, ``guide.loc``, ...: `roles_of` lists them. In place of two
concentrations there may be ``prior.mean`` and ``prior.concentration``, their total, or
``prior.concentrations``, both in one array; the same of a guide; and of a point ``guide.probs``.

Somebody's parameters may be called anything. `names` says which has which role, as an expression of
`elbo_ref.crosscheck.expressions`; what it leaves out is guessed by `elbo_ref.crosscheck.names`.

A parameter is one set of values, of shape () or (1,) or, one for each latent, (G,) or (G, 1), or a
history with a leading axis of steps. Where each latent has a parameter of its own, ``a_0``,
``a_1``, ..., ``a_*`` names them all, in the order of their numbers.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.claims import Claims, claim_roles, concentrations_of
from elbo_ref.crosscheck.coordinates import Coordinates
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import Guide
from elbo_ref.svi.parameters import NAMES, Learned

PRIOR_ROLES = tuple(f"prior.{name}" for name in NAMES)


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
    coordinates : Coordinates
        The parameters that have a history, or are all that there is, as the optimizer moves them.
    """

    prior: FloatArray
    guide_parameters: FloatArray
    names: Mapping[str, str]
    guessed: tuple[str, ...]
    coordinates: Coordinates

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

    `names` has for a role the name of the parameter that has it, or an expression, `prior` the
    concentrations where `values` does not hold them.

    Raises
    ------
    ValueError
        If a role is not known, has no parameter, or has values of the wrong shape or sign.
    """
    return arrange(claims_of(values, guide, size, names, prior), guide, size)


def shapes_of(claims: Claims, guide: Guide, size: int) -> dict[str, tuple[int, int]]:
    """Numbers of steps and of latents of each role that is not held."""
    tables = _tables(claims, guide, size).items()
    return {role: (len(x), x.shape[1]) for role, x in tables if role not in claims.held}


def claims_of(
    values: Mapping[str, FloatArray],
    guide: Guide,
    size: int,
    names: Mapping[str, str] | None,
    prior: Beta | None,
) -> Claims:
    """Find the expression for each role of a guide; see `claim_roles`."""
    roles, delta = roles_of(guide), guide.name == "delta"
    return claim_roles(values, roles, size, names, prior, delta=delta)


def arrange(claims: Claims, guide: Guide, size: int, *, end: bool = False) -> ParameterRoles:
    """Arrange claimed values by step and latent; `end` takes the last of each history alone.

    Raises
    ------
    ValueError
        If a role has values of the wrong shape.
    """
    roles, tables = roles_of(guide), _tables(claims, guide, size)
    if end:
        tables = {role: table[-1:] for role, table in tables.items()}
    lengths = {len(table) for table in tables.values()} - {1}
    if len(lengths) > 1:
        listed = ", ".join(f"{role}: {len(table)}" for role, table in tables.items())
        raise ValueError(f"the parameters have histories of different lengths: {listed}")
    steps = lengths.pop() if lengths else 1
    moved = {role: x for role, x in claims.moved().items() if len(tables[role]) == steps}
    by_mean = tuple(x for x in ("prior", "guide") if f"{x}.concentration" in tables)
    tables = concentrations_of(tables)
    prior = np.empty((len(NAMES), steps, 1))
    for row, role in zip(prior, PRIOR_ROLES, strict=True):
        row[:] = tables.get(role, 1.0)
    params = np.empty((len(guide.parameter_names), steps, 1 if guide.shared else size))
    for row, name in zip(params, guide.parameter_names, strict=True):
        row[:] = tables[f"guide.{name}"]
    learned, coordinates = claims.learned_roles(roles), Coordinates(moved, by_mean)
    return ParameterRoles(prior, params, learned, claims.guessed, coordinates)


def _tables(claims: Claims, guide: Guide, size: int) -> dict[str, FloatArray]:
    """Arrange the values of each role as (steps, latents), one of either for all."""
    arrays = claims.arrays()
    priors = {x.size for role, x in arrays.items() if role.startswith("prior.") and x.ndim}
    if not guide.shared and size > 1 and size not in priors:  # a column, or a grid, of latents
        for role, array in arrays.items():
            if array.size == size and not role.startswith("prior."):
                arrays[role] = array.reshape(size)
    histories = {len(x) for x in arrays.values() if x.ndim > 1}
    lengths = priors | {claims.num_losses, claims.num_losses + 1} - {0, 1}
    tables = {}
    for role, array in arrays.items():
        columns = 1 if guide.shared or role.startswith("prior.") else size
        by_step = array.size in (lengths if array.size != columns else histories) or columns == 1
        table = array[:, None] if array.ndim == 1 and by_step else np.atleast_2d(array)
        tables[role] = table.reshape(len(table), math.prod(table.shape[1:]))
        if tables[role].shape[1] not in (1, columns):
            raise ValueError(
                f"{claims.text_of(role)} ({role}) has shape {array.shape}: one value"
                + (f" or {columns}, one for each latent," if columns > 1 else "")
                + " is needed, or a history of that"
            )
    return tables


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
