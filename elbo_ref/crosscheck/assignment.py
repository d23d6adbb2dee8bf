"""Somebody's parameters in roles, in each of the ways that they can be meant.

A file says of some values that they are constrained: these are believed. Of others their name says
that a function is still to be applied, or their sign does. Where more than one function can be
meant, or the order of two concentrations in one array, each way is a reading of its own, the
likeliest one first, and the losses choose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from typing import NamedTuple

import numpy as np

from elbo_ref._format.numbers import some_of
from elbo_ref._validation.arguments import CONCENTRATION_RANGE, FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.claims import Claims
from elbo_ref.crosscheck.expressions import Expression
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.names import functions_of, is_foreign, words
from elbo_ref.crosscheck.parameters import (
    ParameterRoles,
    arrange,
    claims_of,
    one_by_one,
    shapes_of,
)
from elbo_ref.crosscheck.shapes import shared_by_name
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import GUIDES, Guide
from elbo_ref.io.parameters import Parameters
from elbo_ref.objectives.base import Task

_UNIT = ("mean",)
_POSITIVE = ("concentration1", "concentration0", "concentration", "concentrations", "scale")
_MOST = 8
"""Ways to apply functions that are tried."""
_BY_NAME = "its name"
_FEW = 16
"""Values of a parameter, of no history, of which each may have a role."""
_NEAR = 0.1
"""Part of an interval that is near its end."""


class Assignment(NamedTuple):
    """Parameters in their roles, counts and guide as they must be for them, and notes.

    Attributes
    ----------
    counts : Counts
    guide : Guide
    roles : ParameterRoles
    findings : tuple of Finding
        Notes on what was assumed, and mistakes that need no losses.
    constrained : tuple of str
        The owners, ``"prior"`` or ``"guide"``, whose values are known to be constrained ones.
    """

    counts: Counts
    guide: Guide
    roles: ParameterRoles
    findings: tuple[Finding, ...]
    constrained: tuple[str, ...] = ()


class _Doubt(NamedTuple):
    """Parameters that have the same function still to be applied, and which it may be."""

    names: tuple[str, ...]
    options: tuple[str, ...]
    reason: str


def note(name: str, text: str) -> Finding:
    """Make a finding that is no verdict."""
    return Finding(name, text, status="note")


def assignments(
    counts: Counts,
    given: Parameters,
    guide: Guide,
    names: Mapping[str, str] | None,
    prior: Beta | None,
    num_losses: int = 0,
) -> list[Assignment]:
    """List the ways in which somebody's parameters can be meant, the likeliest one first.

    Latents that have parameters of their own get an entry each; one pair of a Beta guide for all of
    several latents is that of `beta_shared`.

    Raises
    ------
    ValueError
        If a role has no parameter, or values that it cannot have.
    """
    findings: list[Finding] = []
    counts = _with_own_entries(counts, given.values, guide)
    claims = claims_of(given.values, guide, len(counts), names, prior)
    claims = claims._replace(num_losses=num_losses)
    shapes = shapes_of(claims, guide, len(counts))
    widths = {shape[1] for role, shape in shapes.items() if role.startswith("guide.")}
    if guide.name == "beta" and len(counts) > 1 and widths == {1}:
        guide = GUIDES["beta_shared"]
        findings.append(note("guide", "one Beta guide for all latents, as its shapes say"))
    for role in claims.guessed:
        findings.append(note("names", f"{claims.texts[role]} was taken for {role}"))
    findings += [*shared_by_name(claims), *_unused(claims)]
    found = []
    for each, said in _orders(claims):
        doubts, believed = _doubts(each, given)
        for chosen in islice(product(*(doubt.options for doubt in doubts)), _MOST):
            functions = {
                name: function
                for doubt, function in zip(doubts, chosen, strict=True)
                for name in doubt.names
            }
            changed = each._replace(expressions=_with_functions(each, functions))
            read = [note("parameters", text) for text in _grouped(given.notes, changed)]
            notes = (*read, *findings, *said, *_applied(doubts, chosen, given.values))
            known = believed if not any(chosen) else ("prior", "guide")
            for roles, more in _histories(changed, guide, len(counts), num_losses):
                found.append(Assignment(counts, guide, roles, (*notes, *more), known))
    good = [assignment for assignment in found if not _flaw(assignment)]
    if not good:
        raise ValueError(_flaw(found[0]))
    found = [x._replace(findings=(*x.findings, *_at_ends(x, claims, given))) for x in good]
    return [_with_outcomes(assignment) for assignment in found]


def _with_outcomes(assignment: Assignment) -> Assignment:
    """Give a guide that is the posterior the outcomes for parameters."""
    guide, roles = assignment.guide, assignment.roles
    if guide.parameter_names:
        return assignment
    params = Task(guide, assignment.counts).guide.constrain(roles.guide_parameters)
    return assignment._replace(roles=roles._replace(guide_parameters=params))


def _grouped(notes: tuple[str, ...], claims: Claims) -> list[str]:
    """Group notes that say the same of several parameters.

    None says that a parameter was left unconstrained to which a function is applied here.
    """
    applied = {x.name for x in claims.expressions.values() if x.functions}
    names: dict[str, list[str]] = {}
    for text in notes:
        name, _, what = text.partition(": ")
        if not (name.endswith("_unconstrained") and name in applied):
            names.setdefault(what, []).append(name)
    return [f"{', '.join(group)}: {what}" for what, group in names.items()]


def _with_own_entries(counts: Counts, values: Mapping[str, FloatArray], guide: Guide) -> Counts:
    """Give each latent an entry of its own if there are parameters for each."""
    sizes = {array.shape[-1] for array in values.values() if array.ndim}
    sizes |= {array.size for array in values.values()}
    latents = counts.num_latents
    if not guide.parameter_names or len(counts) == latents or latents not in sizes:
        return counts
    return one_by_one(counts)


def _unused(claims: Claims) -> Iterator[Finding]:
    """Note the parameters that no role uses."""
    used = {x.name for x in claims.expressions.values()}
    left = [name for name in claims.values if name not in used]
    left += [f"part of {name}" for name in sorted(used) if _is_left(name, claims)]
    hint = "; the Beta-Binomial has none such: it may be another model"
    what = f"{some_of(left)}: no role uses it, and nothing is said of it"
    if left:
        yield note("unused", what + hint * any(map(is_foreign, left)))._replace(of=", ".join(left))


def _is_left(name: str, claims: Claims) -> bool:
    """Return True if roles use some of the few values of a parameter, and not the others."""
    values = claims.values.get(name, np.zeros(0))
    left = np.ones(values.shape, bool)
    if values.ndim != 1 or values.size > _FEW:
        return False
    for expression in claims.expressions.values():
        if expression.name == name:
            left[expression.rows] = False
    return bool(left.any())


def _orders(claims: Claims) -> Iterator[tuple[Claims, list[Finding]]]:
    """Yield claims, and those with two guessed concentrations in one array the other way round."""
    pairs = [role for role in claims.guessed if role.endswith(".concentrations")]
    taken = ", ".join(claims.texts[role] for role in pairs)
    words_of = f"{taken}: concentration1 was taken to be the {{}} of two"
    yield claims, [note("names", words_of.format("first"))] * bool(pairs)
    if pairs:
        yield claims._replace(flipped=True), [note("names", words_of.format("second"))]


def _doubts(claims: Claims, given: Parameters) -> tuple[list[_Doubt], tuple[str, ...]]:
    """Find parameters with a function to be applied; and the owners whose values are believed."""
    options: dict[tuple[str, str], tuple[tuple[str, ...], str]] = {}
    plain: dict[tuple[str, str], str] = {}
    wrong: set[str] = set()
    whole: dict[tuple[str, str], bool] = {}
    for role, expression in claims.expressions.items():
        owner, what = role.split(".")
        if what not in (*_UNIT, *_POSITIVE) or expression.number is not None:
            continue
        if expression.functions:
            continue
        name, unit = expression.name, what in _UNIT
        known = _constraint(given, name)
        x = expression.of(claims.values)
        fine = bool(((x > 0) & (x < 1)).all() if unit else (x > 0).all())
        hint = functions_of(name, unit=unit)
        whole[owner, name] = fine = fine and whole.get((owner, name), True)
        if known not in ("", "real"):
            if hint == ("exp",) and "log" in "".join(words(name)):
                options[owner, name] = ("", "exp"), _BY_NAME
        elif hint:
            options[owner, name] = (*hint, *[""] * fine), _BY_NAME
        elif unit and not fine:
            options[owner, name] = ("sigmoid",), "its values are not between 0 and 1"
        elif not unit:
            plain[owner, name] = known
            wrong |= set() if fine else {known}
    for (owner, name), known in plain.items():
        of_scale = "scale" in words(name) or "scales" in words(name)
        either = ("softplus", "exp") if of_scale else ("exp", "softplus")
        if known in wrong:
            reason = "no concentration has such values" if known else ""
            options[owner, name] = either, reason
        elif known == "real":
            options[owner, name] = ("", *either), "the store does not hold it positive"
    opened = {owner for (owner, _), known in plain.items() if known == "" and known not in wrong}
    groups: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
    for (owner, name), (functions, reason) in options.items():
        groups.setdefault((owner, functions, reason), []).append(name)
    doubts = [_Doubt(tuple(of), functions, why) for (_, functions, why), of in groups.items()]
    return doubts, tuple(owner for owner in ("prior", "guide") if owner not in opened)


def _constraint(given: Parameters, name: str) -> str:
    """Return the constraint that a store has for a parameter; empty where nothing says it."""
    if name in given.constraints:
        return given.constraints[name]
    start, star, end = name.partition("*")
    alike = (x for x in given.constraints if star and x.startswith(start) and x.endswith(end))
    return given.constraints.get(next(alike, ""), "")


def _applied(
    doubts: Sequence[_Doubt], chosen: Sequence[str], values: Mapping[str, FloatArray]
) -> Iterator[Finding]:
    """Say which functions were applied, and why; a mistake where nothing announced it."""
    unannounced = [name for doubt in doubts if not doubt.reason for name in doubt.names]
    applied = [x for doubt, x in zip(doubts, chosen, strict=True) if not doubt.reason]
    if unannounced:
        smallest = min(float(values[name].min()) for name in unannounced if name in values)
        yield Finding(
            "unconstrained_values",
            "the smallest parameter that must be positive",
            theirs=smallest,
            reason=f"{' and '.join(dict.fromkeys(applied))} was applied to go on",
            status="mistake",
        )
    for doubt, function in zip(doubts, chosen, strict=True):
        listed = ", ".join(doubt.names)
        if doubt.reason and function:
            yield note("reading", f"{listed}: {function} applied ({doubt.reason})")
        elif doubt.reason == _BY_NAME:
            yield note("reading", f"{listed}: taken as they are")


def _with_functions(claims: Claims, functions: Mapping[str, str]) -> dict[str, Expression]:
    """Apply a function to some parameters, by name, where they stand alone."""
    return {
        role: expression._replace(functions=(functions[expression.name],))
        if functions.get(expression.name) and not expression.functions
        else expression
        for role, expression in claims.expressions.items()
    }


def _histories(
    claims: Claims, guide: Guide, size: int, num_losses: int
) -> Iterator[tuple[ParameterRoles, list[Finding]]]:
    """Yield roles with their history, and at its end alone where that can be meant."""
    lengths = {steps for steps, _ in shapes_of(claims, guide, size).values()}
    several = sorted(lengths - {1})
    if len(several) > 1:
        what = f"the parameters have histories of {' and '.join(map(str, several))} steps"
        yield _end(claims, guide, size, what)
        return
    roles = arrange(claims, guide, size)
    steps = roles.num_steps
    if steps > 1 and num_losses not in (0, steps, steps - 1):
        what = f"{num_losses} losses and {steps} sets of parameters cannot be paired"
        yield _end(claims, guide, size, what)
        return
    yield roles, []
    if 1 in lengths and several:
        yield _end(claims, guide, size, "some parameters have no history")


def _end(
    claims: Claims, guide: Guide, size: int, what: str
) -> tuple[ParameterRoles, list[Finding]]:
    roles = arrange(claims, guide, size, end=True)
    return roles, [note("history", f"{what}: the last values are judged")]


def _at_ends(assignment: Assignment, claims: Claims, given: Parameters) -> Iterator[Finding]:
    """Find concentrations of a guide near the end of an interval, with their optimum beyond it."""
    guide, counts, roles = assignment.guide, assignment.counts, assignment.roles
    if guide.name != "beta":
        return
    best = roles.prior[:, -1] + np.array((counts.successes, counts.failures))
    for row, name in enumerate(guide.parameter_names):
        role = f"guide.{name}"
        expression = claims.expressions.get(role)
        if expression is None or expression.functions or expression.name not in given.ends:
            continue
        low, high = given.ends[expression.name]
        x = roles.guide_parameters[row, -1]
        held = (best[row] > high) & (x > high - _NEAR * (high - low))
        if held.any():
            where = int(np.argmax(np.where(held, x, -np.inf)))
            what = f"{claims.text_of(role)}, held below {high:g} by its constraint"
            reason = f"latent {where}, and what its exact posterior has"
            ours = float(best[row, where])
            yield Finding(
                "guide_at_constraint", what, float(x[where]), ours, None, reason, "mistake"
            )


def _flaw(assignment: Assignment) -> str:
    """Say which values are none that a Beta or a scale can have; empty if all are."""
    names = [name in _POSITIVE for name in assignment.guide.parameter_names]
    prior, params = assignment.roles.prior, assignment.roles.guide_parameters[names]
    most = CONCENTRATION_RANGE[1]
    for owner, array in (("prior", prior), ("guide", params)):
        rules = ("finite", np.isfinite(array)), ("positive", array > 0)
        for rule, good in (*rules, (f"at most {most:g}", array <= most)):
            if not good.all():
                where = int(np.argmax(~good.all(axis=(0, 2))))
                return f"the {owner}'s parameters are not {rule} at step {where}"
    return ""
