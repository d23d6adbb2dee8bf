"""Expressions that are taken for roles: named, held or guessed, before any shape is looked at."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from elbo_ref._validation.arguments import FloatArray, float_in
from elbo_ref.crosscheck.coordinates import Moved
from elbo_ref.crosscheck.expressions import (
    Expression,
    NamesError,
    listed,
    parse,
    role_of,
)
from elbo_ref.crosscheck.names import guess_pairs, guess_roles, is_probability, of_concentration
from elbo_ref.distributions.beta import Beta
from elbo_ref.svi.parameters import NAMES

_LOGITS, _PROBS = "guide.logits", "guide.probs"
_OF_PRIOR = tuple(f"prior.{name}" for name in NAMES)
_ROLE = re.compile(r"(prior|guide)\.")
_MEAN, _TOTAL, _BOTH = "mean", "concentration", "concentrations"


class Claims(NamedTuple):
    """Expressions taken for each role, before any shape is looked at.

    Attributes
    ----------
    values : mapping of str to ndarray
        Parameters by name, those with a number each stacked, a point as its logit.
    expressions : mapping of str to Expression
        By role; of an owner two concentrations, or mean and concentration, or both in one.
    held : mapping of str to ndarray
        Values of the roles that have none.
    guessed : tuple of str
        Roles that the caller's `names` did not assign.
    texts : mapping of str to str
        The expressions as they were written.
    flipped : bool
        Whether the second of two guessed concentrations in one array is concentration1.
    num_losses : int
        Number of losses, which a history is as long as, or one longer.
    """

    values: Mapping[str, FloatArray]
    expressions: Mapping[str, Expression]
    held: Mapping[str, FloatArray]
    guessed: tuple[str, ...]
    texts: Mapping[str, str]
    flipped: bool = False
    num_losses: int = 0

    def arrays(self) -> dict[str, FloatArray]:
        """Evaluate the expressions; two concentrations in one array come apart."""
        arrays = dict(self.held)
        for role, expression in self.expressions.items():
            owner, what = role.split(".")
            array = expression.of(self.values)
            if what == _BOTH:
                order = NAMES[::-1] if self.flipped and role in self.guessed else NAMES
                for name, part in zip(order, _apart(role, array), strict=True):
                    arrays[f"{owner}.{name}"] = part
            else:
                arrays[role] = array
        return arrays

    def moved(self) -> dict[str, Moved]:
        """For each role that is a parameter, which one, and the functions that are applied."""
        found = {}
        for role, x in self.expressions.items():
            owner, what = role.split(".")
            roles = [f"{owner}.{name}" for name in NAMES] if what == _BOTH else [role]
            for each in roles if x.number is None else ():
                part = f", {each}" if what == _BOTH else ""
                found[each] = Moved(f"{x.name}{x.rows}{part}", x.functions, x.name)
        return found

    def text_of(self, role: str) -> str:
        """Return the expression for a role as it was written; the role where it is held."""
        owner = role.partition(".")[0]
        ways = ((role,), (f"{owner}.{_BOTH}",), (f"{owner}.{_MEAN}", f"{owner}.{_TOTAL}"))
        for way in ways:
            if any(x in self.texts for x in way):
                return ", ".join(self.texts[x] for x in way if x in self.texts)
        return role

    def learned_roles(self, roles: Collection[str]) -> dict[str, str]:
        """For each role that is a parameter the expression that was taken."""
        free = {role for role, x in self.expressions.items() if x.number is None}
        found = {}
        for role in roles:
            owner = role.partition(".")[0]
            if free & {role, *(f"{owner}.{what}" for what in (_BOTH, _MEAN, _TOTAL))}:
                found[role] = self.text_of(role)
        return found


def _apart(role: str, array: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Split at the last axis of two."""
    axes = [axis for axis, size in enumerate(array.shape) if size == 2]
    if not axes:
        raise ValueError(f"{role} has shape {array.shape}: an axis of two is needed")
    first, second = np.moveaxis(array, axes[-1], 0)
    return first, second


def check_claims(names: object, prior: object) -> None:
    """Raise TypeError unless they are what `cross_check` and `replay` take."""
    if names is not None and not (
        isinstance(names, Mapping)
        and all(isinstance(x, str) for pair in names.items() for x in pair)
    ):
        raise TypeError(f"names must be a mapping of roles to names, all str, not {names!r}")
    if prior is not None and (not isinstance(prior, Beta) or prior.shape != ()):
        raise TypeError(f"prior must be one Beta, not {prior!r}")


def check_way_round(names: Mapping[str, str], known: Collection[str]) -> None:
    """Raise NamesError if a parameter stands where its role is meant, and the role after it."""
    for role, name in names.items():
        if role in known and name not in known and _ROLE.match(name):
            rule = "is the wrong way round: the role comes first, as in"
            raise NamesError(f": {role}={name} {rule} {name}={role}")


class UnknownRoleError(NamesError):
    """A role has no parameter.

    Attributes
    ----------
    left : mapping of str to ndarray
        Parameters without a role, if all that is missing are both concentrations of `owners`.
    owners : list of str
    """

    def __init__(self, text: str, left: Mapping[str, FloatArray], owners: list[str]) -> None:
        super().__init__(text)
        self.left, self.owners = left, owners


def claim_roles(
    values: Mapping[str, FloatArray],
    roles: Sequence[str],
    size: int,
    names: Mapping[str, str] | None,
    prior: Beta | None,
    *,
    delta: bool = False,
) -> Claims:
    """Find the expression for each role: by `names`, by the held prior, or guessed.

    `delta` says that the point of `AutoDelta` is meant, which NumPyro calls ``auto_loc`` too.

    Raises
    ------
    NamesError
        If a role is not known, has two, or has none.
    ValueError
        If a point is no probability.
    """
    values = dict(values)
    check_way_round(names or {}, values)
    texts: dict[str, str] = {}
    expressions: dict[str, Expression] = {}
    for name in _patterns(names or {}, values):
        _stack_numbered(values, name)
    for said, text in (names or {}).items():
        role, undone = role_of(said)
        expression = _parsed(text, values)
        _check_role(role, roles)
        if role in expressions:
            raise NamesError(f": {role} is given twice")
        texts[role] = text
        expressions[role] = expression._replace(functions=(*expression.functions, *undone))
    if _LOGITS in roles:
        _as_logits(values, texts, expressions, delta=delta)
    _check_roles_differ(expressions)
    held = _held(prior, expressions)
    plain = [role for role in roles if not _other_forms(role, expressions)]
    left = {name: x for name, x in values.items() if name not in _used(expressions)}
    guessed = guess_roles(left, expressions, plain, held)
    wanted = (*plain, *_means(expressions))
    missing = [role for role in wanted if role not in {*expressions, *guessed, *held}]
    owners = {role.split(".")[0] for role in missing}
    left = {name: x for name, x in left.items() if name not in guessed.values()}
    if {*missing} == {f"{owner}.{name}" for owner in owners for name in NAMES}:
        pairs = guess_pairs(left, sorted(owners), size)
        guessed, missing = guessed | pairs, [] if pairs else missing
    if missing:
        text = f" does not say which parameter is {missing[0]}; {listed(values)}"
        if len(left) > len(missing):
            text += (
                "; a prior that is computed from more than its two concentrations is another model"
            )
        elif missing[0] in _OF_PRIOR and not any(map(of_concentration, left)):
            text += (
                "; a prior of neither two concentrations nor a mean and a total is another model"
            )
        elif owners == {"guide"} and not any(x.startswith("guide.") for x in expressions):
            text += "; a guide that has no parameters is called empty"
        both = {*missing} == {f"{owner}.{name}" for owner in owners for name in NAMES}
        raise UnknownRoleError(text, left if both else {}, sorted(owners))
    for role, name in guessed.items():
        texts[role], expressions[role] = name, Expression(name)
    unsaid = tuple(role for role, name in guessed.items() if role != name)
    return Claims(values, expressions, held, unsaid, texts)


def _used(expressions: Mapping[str, Expression]) -> set[str]:
    return {expression.name for expression in expressions.values()}


def _parsed(text: str, values: Mapping[str, FloatArray]) -> Expression:
    expression = parse(text, values)
    if expression.number is None and expression.name not in values:
        raise NamesError(f": there is no parameter {expression.name!r}; {listed(values)}")
    return expression


def _patterns(names: Mapping[str, str], values: Mapping[str, FloatArray]) -> list[str]:
    """List what stands for the parameters of each latent, as ``a_*``."""
    parsed = [parse(text, values).name for text in names.values() if "*" in text]
    return [name for name in dict.fromkeys(parsed) if name not in values]


def _check_role(role: str, roles: Sequence[str]) -> None:
    owners = {x.split(".")[0] for x in roles if x.split(".")[1] in NAMES}
    more = tuple(f"{owner}.{what}" for owner in sorted(owners) for what in (_MEAN, _TOTAL, _BOTH))
    more += (_PROBS,) * (_LOGITS in roles)
    if role not in (*roles, *more):
        rule = f": {role!r} is none of the roles {', '.join((*roles, *more))}"
        said = role in ("guide.loc", "guide.scale")
        raise NamesError(rule + "; for an AutoNormal add --guide normal, guide='normal'" * said)


def _other_forms(role: str, given: Collection[str]) -> bool:
    """Return True if an owner's concentrations are given in another form than one by one."""
    owner, what = role.split(".")
    return what in NAMES and any(f"{owner}.{x}" in given for x in (_MEAN, _TOTAL, _BOTH))


def _means(given: Collection[str]) -> list[str]:
    """List the roles of the owners that are given by mean and concentration."""
    forms = (_MEAN, _TOTAL)
    owners = {role.split(".")[0] for role in given if role.split(".")[1] in forms}
    return [f"{owner}.{what}" for owner in sorted(owners) for what in forms]


def _check_roles_differ(expressions: Mapping[str, Expression]) -> None:
    """Refuse two forms of an owner's concentrations, and one parameter of prior and guide."""
    forms: dict[str, set[str]] = {}
    for role in expressions:
        owner, what = role.split(".")
        form = {_MEAN: "by mean", _TOTAL: "by mean", _BOTH: "in one"}.get(what, "one by one")
        forms.setdefault(owner, set()).add(form)
    for owner, given in forms.items():
        if len(given) > 1:
            ways = "the two concentrations, or mean and concentration, or concentrations"
            raise NamesError(f": the {owner} is given by {ways}, not by several of these")
    taken: dict[tuple[object, ...], str] = {}
    for role, x in expressions.items():
        other = taken.setdefault((x.name, repr(x.rows), x.functions), role)
        (owner, what), (another, whatever) = role.split("."), other.split(".")
        alike = what == whatever if owner != another else {what, whatever} <= {*NAMES}
        if x.number is None and other != role and not alike:
            raise NamesError(f": {x.name!r} has two roles, {other} and {role}")


def _held(prior: Beta | None, expressions: Collection[str]) -> dict[str, FloatArray]:
    """Values of the prior's roles that are not among the expressions, where it is held."""
    if prior is None:
        return {}
    learned = [role for role in expressions if role.startswith("prior.")]
    if len(learned) > 1 or f"prior.{_BOTH}" in learned:
        rule = "if the prior was learned leave out prior= (--fix-prior), and these if it was held"
        raise NamesError(f": {' and '.join(learned)} stand beside a prior that is held: {rule}")
    a, b = prior.arrays()
    values = dict(zip(_OF_PRIOR, (a, b), strict=True))
    by_mean = {f"prior.{_MEAN}": a / (a + b), f"prior.{_TOTAL}": a + b}
    if not by_mean.keys().isdisjoint(expressions):
        values = by_mean
    return {role: np.asarray(x) for role, x in values.items() if role not in expressions}


def _as_logits(
    values: dict[str, FloatArray],
    texts: dict[str, str],
    expressions: dict[str, Expression],
    *,
    delta: bool,
) -> None:
    """Turn the parameter that is a probability into its logit."""
    points = [name for name in values if is_probability(name, delta=delta)]
    if _PROBS in expressions:
        text, point = texts.pop(_PROBS), expressions.pop(_PROBS)
        if point.functions[-1:] == ("sigmoid",):
            texts[_LOGITS], expressions[_LOGITS] = (
                text,
                point._replace(functions=point.functions[:-1]),
            )
            return
        float_in(text, point.of(values), 0.0, 1.0)
        texts[_LOGITS] = text
        expressions[_LOGITS] = point._replace(functions=(*point.functions, "logit"))
    elif len(points) == 1 and _LOGITS not in expressions:
        (name,) = points
        float_in(name, values[name], 0.0, 1.0)
        texts[_LOGITS], expressions[_LOGITS] = name, Expression(name, (), ("logit",))


def _stack_numbered(values: dict[str, FloatArray], pattern: str) -> None:
    """Replace the parameters that differ in a number by one array, under the pattern.

    Where none has a number there, those that differ in a label, in the order in which they stand.
    """
    form = re.escape(pattern)
    digits, labels = (form.replace(r"\*", part, 1) for part in ("([0-9]+)", ".+"))
    matches = ((re.fullmatch(digits, name), name) for name in values)
    numbered = sorted((int(match[1]), name) for match, name in matches if match is not None)
    numbered = numbered or list(enumerate(x for x in values if re.fullmatch(labels, x)))
    shapes = {values[name].shape for _, name in numbered}
    if len({number for number, _ in numbered}) < len(numbered) or len(shapes) > 1:
        listed = ", ".join(f"{name}: {values[name].shape}" for _, name in numbered)
        raise NamesError(f": {pattern!r} is one number and one shape each, not {listed}")
    if numbered:
        values[pattern] = np.stack([values.pop(name) for _, name in numbered], axis=-1)


def concentrations_of(tables: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Form the two concentrations of an owner whose mean and total are given."""
    found = dict(tables)
    for owner in ("prior", "guide"):
        if f"{owner}.{_TOTAL}" in tables:
            mean, total = (found.pop(f"{owner}.{what}") for what in (_MEAN, _TOTAL))
            for name, share in zip(NAMES, (mean, 1 - mean), strict=True):
                found[f"{owner}.{name}"] = share * total
    return found
