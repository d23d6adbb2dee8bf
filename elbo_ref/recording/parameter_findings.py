"""Findings about the parameters of a program, from their values, gradients and constraints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref._validation.arguments import BoolArray
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.recording.guide_sites import Argument
from elbo_ref.recording.notes import Recording

_FEWEST = 3
"""Times that all parameters go back to where they began, which is no accident."""
_ROUNDED = 32.0
"""Units of rounding, of the gradients that one is the sum of, that it may be off by."""
_AT_END = 0.1
"""Share of a range, or of its end, that counts as at the end."""


def detached(recording: Recording, arguments: Mapping[str, Argument]) -> list[Finding]:
    """Find parameters that no gradient reaches.

    An argument that is computed of none, and follows one, shows the same.
    """
    findings, stated_in = [], recording.header.get("programs", {})
    sources = [
        x for site in recording.header.get("sites", ()) for x in site.get("sources", {}).values()
    ]
    used = {name for names in sources for name in names}
    for program, owner in (("model", "prior."), ("guide", "guide.")):
        owned = {r: x for r, x in arguments.items() if r.startswith(owner)}
        mine = {r: x for r, x in owned.items() if not x.sources}
        names = [x for x in recording.gradients if program in stated_in.get(x, ())]
        still = [x for x in names if x not in used and not np.any(recording.gradients[x])]
        others = {x: recording.constrained[x] for x in names}
        others |= {role: x.values for role, x in arguments.items() if x.sources}
        moving = [
            x for x, at in others.items() if any(_follows(y.values, at) for y in mine.values())
        ]
        whose, lost = f"{', '.join(mine)}: ", still or moving
        if not mine:
            values = recording.constrained
            whose, lost = "", [x for x in still if _enters(values[x], arguments, owner)]
        if lost:
            words = f"{whose}no gradient goes to {', '.join(lost)}"
            reason = "it was detached, or taken out of the graph by item(), float() or data"
            findings.append(Finding("gradient_detached", words, reason=reason, status="mistake"))
        elif len(mine) < len(owned) and (cut := [role for role, x in mine.items() if x.changes]):
            words = f"{', '.join(cut)}: no gradient goes from there to a parameter"
            reason = "it changes from step to step: was it detached, or taken out of the graph"
            findings.append(Finding("gradient_detached", words, reason=reason, status="mistake"))
        elif len(mine) == len(owned) and _never_stepped(mine):
            words = (
                f"{', '.join(_never_stepped(mine))}: there is a gradient, and no step follows it"
            )
            reason = "it belongs to no parameter that the program states while SVI runs it"
            findings.append(Finding("gradient_detached", words, reason=reason, status="mistake"))
        elif still:
            words = f"no gradient goes to {', '.join(still)}: not used, or taken out of the graph"
            findings.append(Finding("parameter", words, status="note"))
    return findings


def of_steps(recording: Recording, arguments: Mapping[str, Argument]) -> list[Finding]:
    """Find parameters that steps or gradients do not reach, or that something else moves."""
    return [
        *nothing_registered(recording),
        *left_behind(recording),
        *lost_on_the_way(recording, arguments),
        *never_reached(recording),
        *moved_between(recording),
    ]


def moved_between(recording: Recording) -> list[Finding]:
    """Note parameters that are changed between steps; every time to what they were is a mistake."""
    times = {
        name: sum(
            not np.array_equal(x, y)
            for x, y in zip(before[1:], recording.after[name][:-1], strict=True)
        )
        for name, before in recording.before.items()
    }
    moved = [name for name, count in times.items() if count]
    if not moved or recording.header.get("left_out"):
        return []
    starts = (np.array_equal(x, np.broadcast_to(x[:1], x.shape)) for x in recording.before.values())
    if min(times.values()) >= _FEWEST and all(starts):
        words = f"all {recording.num_steps} steps begin at the same parameters"
        reason = "is the parameter store cleared, or is all made anew, in every step"
        return [Finding("parameters_reset", words, reason=reason, status="mistake")]
    words = f"{', '.join(moved)}: changed between steps, {max(times.values())} times"
    reason = "something else than these steps writes to them"
    return [Finding("parameter", words, reason=reason, status="note")]


def lost_on_the_way(recording: Recording, arguments: Mapping[str, Argument]) -> list[Finding]:
    """Find arguments whose gradient does not come to the parameter that they are computed from."""
    findings = []
    for role, argument in arguments.items():
        name = argument.sources[0] if len(argument.sources) == 1 else ""
        if argument.gradient is None or name not in recording.gradients:
            continue
        steps = recording.num_steps
        felt = _felt(argument).reshape(steps, -1).any(axis=1)
        come = recording.gradients[name].reshape(steps, -1).any(axis=1)
        lost = int(np.sum(felt & ~come))
        if 4 * lost > steps:
            words = f"{role} has a gradient, and none comes to {name}, in {lost} of {steps} steps"
            reason = "a clamp holds it, or it was taken out of the graph"
            findings.append(Finding("gradient_detached", words, reason=reason, status="mistake"))
    return findings


def never_reached(recording: Recording) -> list[Finding]:
    """Note parameters of which some values never have a gradient, and others have."""
    batched = any(name.endswith(".rows") for name in recording.observed)
    if batched or recording.header.get("left_out"):
        return []
    findings = []
    for name, gradients in recording.gradients.items():
        reached = gradients.reshape(recording.num_steps, -1).any(axis=0)
        if reached.any() and not reached.all():
            words = f"no gradient goes to {np.sum(~reached)} of the {reached.size} values of {name}"
            findings.append(Finding("parameter", words, status="note"))
    return findings


def nothing_registered(recording: Recording) -> list[Finding]:
    """Find runs whose optimizer has no parameter, though tensors are there to be learned."""
    if recording.before or not recording.header.get("framework"):
        return []
    sites = (*recording.sites("model"), *recording.sites("guide"))
    if not any(site.get("learnable") for site in sites):
        words = "the SVI has no parameter, so that nothing is learned"
        return [Finding("no_parameter", words, status="note", of=words)]
    words = "the SVI has no parameter: no step changes what its programs compute"
    reason = "is pyro.module, or pyro.param, left out of them"
    return [Finding("gradient_detached", words, reason=reason, status="mistake")]


def left_behind(recording: Recording) -> list[Finding]:
    """Find parameters that never move, though they have a gradient and others move."""
    moves = {x: np.any(recording.after[x] != at) for x, at in recording.before.items()}
    still = [x for x in moves if not moves[x] and _should_move(recording, x)]
    if not still or not any(moves.values()):
        return []
    of_zero = all(x in recording.lr and not np.any(recording.lr[x]) for x in still)
    words = f"{', '.join(still)}: there is a gradient, and no step follows it"
    reason = "the learning rate is 0" if of_zero else "the optimizer does not have it"
    return [Finding("gradient_detached", words, reason=reason, status="mistake")]


def _should_move(recording: Recording, name: str) -> bool:
    """Tell whether a step of the gradient alone would change a parameter's last digit."""
    if name not in recording.gradients:
        return False
    known = [recording.lr[name]] if name in recording.lr else recording.lr.values()
    rate = max((float(x.max()) for x in known if x.any()), default=1.0)
    before, gradient = recording.before[name], recording.gradients[name]
    steps = np.abs(gradient.reshape(before.shape)) * rate
    return bool(np.any(steps > np.spacing(np.abs(before))))


def _never_stepped(arguments: Mapping[str, Argument]) -> list[str]:
    """Name the arguments that the loss has a gradient for and that stay where they are.

    One that is held beside another that is learned has a gradient as well: both are one tensor.
    """
    return [role for role, x in arguments.items() if np.any(_felt(x)) and not x.changes]


def _felt(argument: Argument) -> BoolArray:
    """Tell which gradients are more than the rounding of what they are the sums of."""
    if argument.gradient is None:
        return np.zeros(1, bool)
    eps = np.finfo(argument.values.dtype).eps
    return np.asarray(np.abs(argument.gradient) > _ROUNDED * eps * argument.size)


def _enters(value: NDArray[Any], arguments: Mapping[str, Argument], owner: str) -> bool:
    """Tell whether a parameter, as it is or mapped, is the mean or the total of two that move."""
    one, zero = (arguments.get(f"{owner}concentration{i}") for i in "10")
    if one is None or zero is None or not one.changes:
        return False
    total = one.values + zero.values
    at, room = value.reshape(len(value), -1), 16 * np.finfo(total.dtype).eps
    with np.errstate(over="ignore"):
        mapped = at, np.exp(at), np.logaddexp(0, at), sc.expit(at)
    alike = [x for x in (total, one.values / total) if at.shape[1] in (1, x.shape[1])]
    return any(np.all(np.abs(x - y) <= room * np.abs(x)) for x in alike for y in mapped)


def _follows(values: NDArray[Any], other: NDArray[Any]) -> bool:
    """Tell whether an argument has the values of something else, which moves."""
    flat = other.reshape(len(other), -1)
    same = flat.shape[1] in (1, values.shape[1]) and np.all(flat == values)
    return bool(same and np.any(flat != flat[:1]))


def at_ends(recording: Recording, own: Mapping[str, Argument]) -> list[Finding]:
    """Find guide's parameters at an end of their constraint that the loss would have beyond it."""
    findings, ends = [], recording.header.get("ends", {})
    for role, argument in own.items():
        name = argument.sources[0] if len(argument.sources) == 1 else ""
        if name not in ends or argument.gradient is None:
            continue
        values = recording.constrained[name].reshape(recording.num_steps, -1)
        if values.shape != argument.values.shape or np.any(values != argument.values):
            continue
        if argument.gradient.shape != values.shape:
            continue
        low, high = (ends[name].get(key) for key in ("low", "high"))
        downhill = -argument.gradient.mean(axis=0)
        for end, sign in ((low, -1.0), (high, 1.0)):
            if not end:  # there is none, or it is 0, where concentrations and scales end anyway
                continue
            at = np.abs(values[-1] - end) <= _AT_END * abs(end - (low or 0.0) or end)
            stuck = int(np.sum(at & (sign * downhill > 0)))
            if 2 * stuck > at.size:
                words = f"{stuck} of {at.size} values of {name} ({role}) are at an end of its range"
                reason = "the loss falls beyond it: the constraint is too narrow"
                findings.append(
                    Finding("guide_at_constraint", words, end, None, None, reason, "mistake")
                )
    return findings


def other_rows(recording: Recording, own: Mapping[str, Argument]) -> list[Finding]:
    """Find parameters of the guide, one for each latent, that a minibatch's gradient goes past."""
    of_model = {x for site in recording.sites("model") for x in site.get("plates", ())}
    plates = {
        x: int(size)
        for x, size in recording.header.get("plates", {}).items()
        if x in of_model and f"{x}.rows" in recording.observed
    }
    findings = []
    names = {name for x in own.values() for name in x.sources}
    for name in sorted(names.intersection(recording.gradients)):
        reached = recording.gradients[name].reshape(recording.num_steps, -1) != 0
        for plate, size in plates.items():
            rows = recording.observed[f"{plate}.rows"].astype(np.int64)
            if reached.shape[1] != size or len(rows) != len(reached):
                continue
            lacking = ~np.take_along_axis(reached, rows, axis=1)
            past = lacking.any(axis=1) & (reached.sum(axis=1) > (~lacking).sum(axis=1))
            if 4 * past.sum() > len(rows):
                words = f"the gradient for {name} goes to other rows than plate {plate!r} has"
                reason = f"the guide takes other rows of it, in {past.sum()} of {len(rows)} steps"
                findings.append(Finding("loss_mismatch", words, reason=reason, status="mistake"))
    return findings
