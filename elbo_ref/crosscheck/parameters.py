"""Which of somebody's parameters is which of ours.

Ours are called ``prior.concentration1``, ``prior.concentration0`` and, with the names of the
guide's own, ``guide.concentration1``, ``guide.loc``, ...: `roles_of` lists them. Somebody's may be
called anything. `names` says which is which; what it leaves out is guessed only where one name
says what it is (``guide_alpha``, ``AutoNormal.locs.c``) and no other does, and every guess is told.

A point may be given as a probability instead, ``guide.probs``.

A parameter is one set of values, of shape () or (1,) or, one for each latent, (G,), or a history
with a leading axis of steps. Where each latent has a parameter of its own, ``a_0``, ``a_1``, ...,
``a_*`` names them all, in the order of their numbers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray, float_in
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import Guide
from elbo_ref.svi.parameters import NAMES, Learned

_WORDS = {
    "concentration1": ("concentration1", "alpha"),
    "concentration0": ("concentration0", "beta"),
    "loc": ("loc", "locs", "mu", "mean"),
    "scale": ("scale", "scales", "sigma"),
    "logits": ("logits", "loc"),
}
_LOGITS, _PROBS = "guide.logits", "guide.probs"
_AUTOMATIC = ("autonormal", "autodelta", "autodiagonalnormal", "autolaplaceapproximation")
_OF_GUIDE = ("guide", "q", "posterior", "variational", *_AUTOMATIC)
_OF_PRIOR = ("prior", "p", "model")


class Reading(NamedTuple):
    """Parameters in their roles, at T steps.

    Attributes
    ----------
    prior : array, (2, T, 1)
    own : array, (k, T, G)
        The guide's own; G is 1 for a guide that all latents share.
    names : mapping
        For each role the name that was taken for it; absent where the value is held.
    guessed : tuple of str
        The roles that `names` did not say.
    history : bool
        Whether there was an axis of steps.
    """

    prior: FloatArray
    own: FloatArray
    names: Mapping[str, str]
    guessed: tuple[str, ...]
    history: bool

    @property
    def num_steps(self) -> int:
        """How many sets of values there are."""
        return int(self.prior.shape[1])


def roles_of(guide: Guide) -> tuple[str, ...]:
    """The roles that a guide's parameters and the prior's have."""
    prior = tuple(f"prior.{name}" for name in NAMES) if guide.has_prior else ()
    return prior + tuple(f"guide.{name}" for name in guide.parameter_names)


def learned_of(roles: Collection[str]) -> Learned:
    """Which of the prior's concentrations are among the roles.

    Examples
    --------
    >>> learned_of(["prior.concentration0", "guide.loc"])
    'concentration0'
    """
    first, second = (f"prior.{name}" in roles for name in NAMES)
    if first and second:
        return True
    return "concentration1" if first else "concentration0" if second else False


def read_roles(
    values: Mapping[str, FloatArray],
    guide: Guide,
    size: int,
    names: Mapping[str, str] | None = None,
    prior: Beta | None = None,
) -> Reading:
    """Put parameters into their roles.

    Parameters
    ----------
    values : mapping of names to arrays
    guide : Guide
    size : int
        How many latents there are.
    names : mapping of roles to names, optional
    prior : Beta, optional
        What the prior's concentrations are where `values` does not hold them.

    Raises
    ------
    ValueError
        If a role is not known, has no parameter, or has values of the wrong shape or sign.
    """
    roles, names, values = roles_of(guide), dict(names or {}), dict(values)
    if _LOGITS in roles:
        names = _as_logits(values, names)
    for name in names.values():
        if "*" in name and name not in values:
            _side_by_side(values, name)
    for role, name in names.items():
        if role not in roles:
            raise ValueError(f"names: {role!r} is none of the roles {', '.join(roles)}")
        if name not in values:
            raise ValueError(f"names: there is no parameter {name!r}; {_has(values)}")
    twice = [name for name in names.values() if list(names.values()).count(name) > 1]
    if twice:
        raise ValueError(f"names: {twice[0]!r} has two roles")
    left = {
        name: words for name in values if name not in names.values() for words in [_split(name)]
    }
    found, guessed = dict(names), []
    for role in roles:
        if role in left:
            found[role] = role
        elif role not in names and not (prior and role.startswith("prior.")):
            fitting = [name for name, words in left.items() if _fits(role, words, roles)]
            if len(fitting) == 1:
                found[role] = fitting[0]
                guessed.append(role)
    if len(set(found.values())) < len(found):
        found, guessed = dict(names), []
    held = (
        dict(zip((f"prior.{name}" for name in NAMES), prior.arrays(), strict=True)) if prior else {}
    )
    arrays = {}
    for role in roles:
        if role in found:
            arrays[role] = values[found[role]]
        elif role in held:
            arrays[role] = np.asarray(held[role])
        else:
            raise ValueError(f"names= does not say which parameter is {role}; {_has(values)}")
    return _shaped(arrays, found, tuple(guessed), guide, size)


def _side_by_side(values: dict[str, FloatArray], pattern: str) -> None:
    """Put the parameters that differ in a number into one, under the pattern."""
    form = re.escape(pattern).replace(r"\*", "([0-9]+)", 1)
    found = [
        (int(match[1]), name) for name in values if (match := re.fullmatch(form, name)) is not None
    ]
    shapes = {values[name].shape for _, name in found}
    if len({number for number, _ in found}) < len(found) or len(shapes) > 1:
        told = ", ".join(f"{name}: {values[name].shape}" for _, name in sorted(found))
        raise ValueError(f"names: {pattern!r} is one number and one shape each, not {told}")
    if found:
        values[pattern] = np.stack([values.pop(name) for _, name in sorted(found)], axis=-1)


def of_guide(name: str) -> bool:
    """Whether a name says that it is a guide's.

    Examples
    --------
    >>> of_guide("alpha_q"), of_guide("beta")
    (True, False)
    """
    return any(word in _OF_GUIDE for word in _split(name))


def _as_logits(values: dict[str, FloatArray], names: Mapping[str, str]) -> dict[str, str]:
    """Turn the parameter that is a probability into a logit; the names, with it in that role."""
    points = [name for name in values if {"probs", "autodelta"} & {*_split(name)}]
    name = names.get(_PROBS, points[0] if len(points) == 1 and _LOGITS not in names else None)
    if name in values:
        values[name] = float_in(name, values[name], 0.0, 1.0)
        values[name] = sc.logit(values[name])
    kept = {role: x for role, x in names.items() if role != _PROBS}
    return kept if name is None else {**kept, _LOGITS: name}


def _has(values: Mapping[str, FloatArray]) -> str:
    return f"the store has: {', '.join(sorted(values)) or 'nothing'}"


def _split(name: str) -> list[str]:
    """``AutoNormal.locs.c`` to autonormal, locs, c; digits stay with ``concentration``."""
    return [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]


def _fits(role: str, words: list[str], roles: tuple[str, ...]) -> bool:
    """Whether a name says that it has a role."""
    owner, what = role.split(".")
    says_what = any(word in _WORDS.get(what, (what,)) for word in words)
    says_owner = any(word in (_OF_GUIDE if owner == "guide" else _OF_PRIOR) for word in words)
    alone = not any(other.startswith("guide." if owner == "prior" else "prior.") for other in roles)
    return says_what and (says_owner or alone)


def _shaped(
    arrays: dict[str, FloatArray],
    found: Mapping[str, str],
    guessed: tuple[str, ...],
    guide: Guide,
    size: int,
) -> Reading:
    own_size = 1 if guide.shared else size
    tables = {}
    lengths = {x.size for role, x in arrays.items() if role.startswith("prior.") and x.ndim}
    histories = {len(x) for x in arrays.values() if x.ndim > 1}
    for role, array in arrays.items():
        columns = 1 if role.startswith("prior.") else own_size
        moving = lengths if array.size != columns else histories
        if array.ndim == 1 and array.size in moving:
            array = array[:, None]
        tables[role] = _as_table(role, array, columns, found.get(role, role))
    lengths = {table.shape[0] for table in tables.values()} - {1}
    if len(lengths) > 1:
        told = ", ".join(f"{role}: {table.shape[0]}" for role, table in tables.items())
        raise ValueError(f"the parameters have histories of different lengths: {told}")
    steps = lengths.pop() if lengths else 1
    prior = (
        [tables[f"prior.{name}"] for name in NAMES] if guide.has_prior else [np.ones((1, 1))] * 2
    )
    own = [tables[f"guide.{name}"] for name in guide.parameter_names]
    return Reading(
        prior=np.array([np.broadcast_to(table, (steps, 1)) for table in prior]),
        own=np.array([np.broadcast_to(x, (steps, own_size)) for x in own]).reshape(
            len(own), steps, own_size
        ),
        names=found,
        guessed=guessed,
        history=steps > 1,
    )


def _as_table(role: str, array: FloatArray, columns: int, name: str) -> FloatArray:
    """(steps, columns)."""
    if array.ndim == 0:
        table = array.reshape(1, 1)
    elif array.ndim == 1 and array.size == columns:
        table = array[None]
    elif array.ndim == 1 and columns == 1:
        table = array[:, None]
    elif array.ndim >= 2 and array[0].size in (1, columns):
        table = array.reshape(len(array), -1)
    else:
        raise ValueError(
            f"{name} ({role}) has shape {array.shape}: one value"
            + (f" or {columns}, one for each latent," if columns > 1 else "")
            + " is needed, or a history of that"
        )
    return np.asarray(table, dtype=np.float64)
