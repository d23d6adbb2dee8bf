"""Are these the gradients of these draws? If not, what are they?

The gradient of one step follows from its draws, as the loss does; but PyTorch differentiates a Beta
draw by an approximation. So theirs are compared with the exact gradient first; what is left is put
down to PyTorch's kernel as far as its own value at those draws accounts for it; and of what is left
then, the cause is looked for in every step: no gradient, one of its two parts alone, a factor, the
score function.

Without PyTorch a gradient that goes through a Beta draw and is not the exact one is untested. Two
mistakes are seen without it: a gradient that is zero although its part at fixed draws is not, and
one for a latent that was not drawn.

The kernel *matters* where it moves the gradient, on the average over these draws, by more than a
tenth of the gradient's Monte Carlo standard deviation, which is known exactly but for minibatches
and Renyi bounds: there it is estimated from how much one step's gradient differs from the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.distributions.beta import BETA
from elbo_ref.guides import GUIDES
from elbo_ref.guides.constraints import CONSTRAINTS
from elbo_ref.objectives.base import Task
from elbo_ref.recording.replay.comparison import Comparison
from elbo_ref.recording.replay.kernel import installed_pytorch, torch_pathwise
from elbo_ref.recording.replay.losses import Judged
from elbo_ref.recording.replay.program import Columns
from elbo_ref.recording.replay.trace import Tape

RULED_OUT = ("gradient_detached", "gradient_scaled", "gradient_estimator", "gradient_mismatch")
MATTERS = 0.1
"""Bias over standard deviation from which the kernel matters."""

DIGITS = 1e-10
"""What is allowed in float64, of all terms without signs: PyTorch's polygammas are no better."""

_NOISE = 16.0
"""How often the spread of PyTorch's kernel over neighbouring draws it may be off."""

_ENOUGH = 10
"""Steps that a standard deviation can be estimated from."""

_PLACES, _MOST = 8, 2000
"""Steps at which the standard deviation is worked out; fewer for more latents in all."""


@dataclass(frozen=True)
class Slope:
    """The gradient of the loss for one unconstrained parameter, (T, 1 or L), and its rivals."""

    role: str
    theirs: FloatArray
    density: FloatArray
    through: FloatArray
    by_kernel: FloatArray | None
    """`through` by PyTorch's own derivative; None where no Beta is drawn, or without PyTorch."""
    score: FloatArray | None
    detached: FloatArray | None
    """What they are where the posterior, as guide, is detached from the prior's parameters."""
    allowance: FloatArray
    kernel_allowance: FloatArray
    """How far off PyTorch's derivative may be by rounding; infinite where it is not known."""
    through_beta: bool
    """Whether it goes through a Beta draw, beyond rounding."""
    other_path: bool
    """Whether such a draw is differentiated in a way of its own, as NumPyro does."""

    @property
    def exact(self) -> FloatArray:
        """The whole."""
        return self.density + self.through

    @property
    def paths(self) -> list[FloatArray]:
        """The part through the draws: by PyTorch's derivative if that is known, and exactly."""
        return [x for x in (self.by_kernel, self.through) if x is not None]

    @property
    def expected(self) -> FloatArray:
        """What PyTorch makes of it, as far as that is known."""
        return self.exact if self.by_kernel is None else self.density + self.by_kernel

    @property
    def slack(self) -> FloatArray:
        """How far theirs may be from `expected`."""
        return self.allowance + self.kernel_allowance

    @property
    def known(self) -> bool:
        """Whether `expected` is known everywhere."""
        return bool(np.all(np.isfinite(self.kernel_allowance)))

    @property
    def vanishes(self) -> bool:
        """Whether theirs are all zero, which no derivative of the draws can make of `density`."""
        return not np.any(self.theirs) and bool(np.any(np.abs(self.density) > self.allowance))

    def exactly(self, other: FloatArray) -> Comparison:
        """Theirs beside what needs no derivative by PyTorch."""
        return Comparison(self.theirs, np.broadcast_to(other, self.theirs.shape), self.allowance)

    def against(self, other: FloatArray) -> Comparison:
        """Theirs beside what PyTorch's derivative may be in."""
        return self.exactly(other)._replace(allowance=self.slack)

    def is_(self, other: FloatArray) -> bool:
        """Whether theirs are those in every step."""
        return self.against(other).agree

    def at(self, where: tuple[int, ...]) -> str:
        """What stands at a place."""
        latent = f", latent {where[1]}" if self.theirs.shape[1] > 1 else ""
        return f"gradient of {self.role} at step {where[0]}{latent}"


def judge_gradients(judged: Judged, counts: Counts) -> list[Finding]:
    """Compare the gradient of every parameter that the optimizer had, at every step."""
    tape = judged.tape
    if not judged.explained:
        return [_untested("the losses are not explained, so there is nothing to compare with")]
    if tape.derived:
        return [_untested(f"{', '.join(tape.derived)}: computed from parameters")]
    findings = [_untested(f"{name}: no site is distributed by it") for name in tape.without_role]
    findings += [
        _untested(f"{role}: its constraint is {_constraint(tape, name)}")
        for _, role, name in tape.learned()
        if _constraint(tape, name) not in _SLOPES
    ]
    slopes = list(_slopes(judged))
    findings += [_judge(slope, judged.factor) for slope in slopes]
    if any(slope.through_beta and not slope.other_path for slope in slopes):
        scaled = judged.likelihood != 1
        findings.append(_kernel(slopes, tape, {} if scaled else _deviations(tape, counts)))
    return findings


_SLOPES = ("real", "unit_interval", *CONSTRAINTS)
"""Constraints whose derivative is known."""


def _constraint(tape: Tape, name: str) -> str:
    return str(tape.recording.header.get("constraints", {}).get(name, "positive"))


def _comparable(tape: Tape) -> Iterator[tuple[int, str, str]]:
    """Of what is learned (`Tape.learned`) that with such a constraint."""
    return (x for x in tape.learned() if _constraint(tape, x[2]) in _SLOPES)


def _untested(reason: str, what: str = "the gradients") -> Finding:
    return Finding("gradients", what, None, None, None, reason, "untested")


def _slopes(judged: Judged) -> Iterator[Slope]:
    tape, scale = judged.tape, judged.likelihood
    through_beta = tape.guide.source is BETA
    elsewhere = through_beta and tape.recording.header.get("framework") == "numpyro"
    asked = through_beta and not elsewhere and installed_pytorch() is not None

    def look(columns: Columns) -> FloatArray:
        program, guide = tape.program, tape.guide
        x = guide.source_parameters(columns.prior, columns.own)
        exact = guide.source.pathwise(columns.logit, x)
        parts = program.parts(columns, exact, scale)
        found = [parts.density, parts.through, parts.size, parts.blur]
        found.append(np.full_like(parts.density, np.nan) if parts.score is None else parts.score)
        theirs, off = np.full_like(parts.density, np.nan), np.zeros_like(parts.density)
        if guide.source is BETA:
            off = parts.through_size
            a, b = x
            kernel = torch_pathwise(columns.c, a, b) if asked else None
            if kernel is not None:
                theirs = program.parts(columns, kernel.slopes, scale).through
                off = _NOISE * program.parts(columns, kernel.spread, scale).through_size
        detached = np.full_like(parts.density, np.nan)
        if guide.origin == "posterior" and not guide.detached:
            other = replace(program, guide=GUIDES["conjugate_detached"])
            detached = other.parts(columns, exact, scale).density
        return np.array([*found, theirs, off, detached])

    looked = tape.over_steps(look)
    eps = float(np.finfo(tape.program.dtype).eps)
    rounding = max(8 * eps, DIGITS)
    for row, role, name in _comparable(tape):
        recorded = tape.recording
        steps = recorded.num_steps
        theirs = recorded.gradients[name].reshape(steps, -1).astype(np.float64)
        jacobian = _jacobian(tape, name)
        wide = tape.scale * tape.of_all(looked[:, row], theirs.shape[1])
        density, through, size, blur, score, kernel, off, detached = wide * jacobian
        known = np.isfinite(kernel) if asked else off == 0
        allowance = rounding * np.abs(size) + 4 * eps * np.abs(blur)
        yield Slope(
            role=role,
            theirs=theirs,
            density=-density,
            through=-through,
            by_kernel=-np.where(known, kernel, through) if asked else None,
            score=None if np.isnan(score).any() else -score,
            detached=None if np.isnan(detached).any() else -detached,
            allowance=allowance,
            kernel_allowance=np.where(known, np.abs(off), np.inf),
            through_beta=through_beta and bool(np.any(np.abs(through) > allowance)),
            other_path=elsewhere and bool(np.any(through)),
        )


def _jacobian(tape: Tape, name: str) -> FloatArray:
    """d constrained / d unconstrained; a point has its logit for a parameter already."""
    steps = tape.recording.num_steps
    x = tape.recording.constrained[name].reshape(steps, -1).astype(np.float64)
    kind = _constraint(tape, name)
    if kind in ("real", "unit_interval"):
        return np.ones_like(x)
    return CONSTRAINTS[kind].slope(x)


def _judge(slope: Slope, factor: float) -> Finding:
    """Against the exact gradient, then PyTorch's, then that times what the losses are times."""
    exactly, words = slope.exactly(slope.exact), f"the gradient of {slope.role}"
    if slope.other_path and not exactly.agree:
        reason = "NumPyro differentiates a pair of gammas, which the draw alone does not determine"
        return _untested(reason, words)
    candidates = [(exactly, "rounding of the terms")]
    if slope.detached is not None:
        candidates.append((slope.exactly(slope.detached), "with the posterior detached"))
    times = f"multiplied by {number(factor)}, as the losses are"
    if factor != 1:
        candidates.append((slope.exactly(factor * slope.exact), times))
    found = slope.against(slope.expected)
    if slope.known and not slope.vanishes:
        candidates.append((found, "by PyTorch's own derivative at these draws"))
        paths = slope.paths if factor != 1 else []
        candidates += [(slope.against(factor * (slope.density + x)), times) for x in paths]
    for compared, reason in candidates:
        if compared.agree:
            where = compared.farthest()
            said = f"all steps, the farthest: {slope.at(where)}"
            return compared.finding("gradients", said, where, reason, "agrees")
    if slope.vanishes:
        found = exactly
    elif found.agree:
        return _untested(_NO_NUMBER if slope.by_kernel is not None else _ABSENT, words)
    name, reason = _cause(slope)
    return found.finding(name, slope.at(found.first()), found.first(), reason, "mistake")


_ABSENT = (
    "it goes through PyTorch's derivative of a Beta draw: "
    "where PyTorch is installed too, `replay` tests it"
)
_NO_NUMBER = "PyTorch's derivative of a Beta draw is not finite at some of these draws"


def _cause(slope: Slope) -> tuple[str, str]:
    """The mistake that gives these gradients in every step."""
    if not np.any(slope.theirs):
        return "gradient_detached", "they are all zero"
    if np.any(slope.through) and slope.is_(slope.density):
        return "gradient_detached", "they lack the part through the draws"
    if np.any(slope.density) and any(slope.is_(path) for path in slope.paths):
        return "gradient_detached", "they lack the part through the densities"
    if slope.score is not None and slope.is_(slope.score):
        return "gradient_estimator", "they are those of the score function, which are noisier"
    for path in slope.paths:
        ours = slope.density + path
        square = float((ours * ours).sum())
        factor = float((slope.theirs * ours).sum()) / square if square else 0.0
        slack = slope.slack * max(1.0, abs(factor))
        if factor and Comparison(slope.theirs, factor * ours, slack).agree:
            return "gradient_scaled", f"they are ours times {number(factor)}"
    return "gradient_mismatch", "no known mistake gives them"


def _kernel(slopes: list[Slope], tape: Tape, deviations: dict[str, FloatArray]) -> Finding:
    """What PyTorch's kernel does to the gradients of these draws."""
    worst, what = 0.0, ""
    asked = [slope for slope in slopes if slope.by_kernel is not None]
    reason = "its own value at these draws, less the exact derivative"
    if not deviations and tape.recording.num_steps >= _ENOUGH:
        deviations = {slope.role: _scatter(slope.exact) for slope in slopes}
        reason += "; the standard deviations by the differences of steps"
    for slope in slopes:
        if slope.by_kernel is None or slope.role not in deviations:
            continue
        bias = np.abs((slope.by_kernel - slope.through).mean(axis=0))
        rounding = slope.allowance.mean(axis=0)
        ratio = np.where(bias > rounding, bias / np.maximum(deviations[slope.role], rounding), 0.0)
        place = int(np.argmax(ratio))
        if ratio[place] >= worst:
            latent = f", latent {place}" if ratio.size > 1 else ""
            worst, what = float(ratio[place]), f"{slope.role}{latent}"
    if not what:
        reason = "there are too few steps to know how noisy they are" if asked else _ABSENT
        words = "what PyTorch's derivative of a Beta draw does to these gradients"
        return Finding("kernel_error", words, None, None, None, reason, "untested")
    return Finding(
        "kernel_error",
        f"bias of PyTorch's Beta derivative over these draws, for {what}, in standard deviations "
        "of a step's gradient:",
        worst,
        0.0,
        MATTERS,
        reason,
        "mistake" if worst > MATTERS else "note",
    )


def _scatter(gradients: FloatArray) -> FloatArray:
    """The standard deviation of rows whose expectation moves slowly."""
    steps = np.diff(gradients, axis=0)
    return np.asarray(np.maximum(np.sqrt((steps * steps).mean(axis=0) / 2), 1e-300))


def _deviations(tape: Tape, counts: Counts) -> dict[str, FloatArray]:
    """The Monte Carlo standard deviation of a step's gradient, by role; (1 or L,)."""
    if tape.batch is not None:
        return {}
    objective, task = tape.objective, Task(tape.guide, counts)
    steps, particles = tape.draws.shape[:2]
    found: dict[str, list[FloatArray]] = {}
    places = max(1, min(_PLACES, _MOST // tape.num_latents))
    for step in np.unique(np.linspace(steps - 1, 0, places).astype(int)):
        prior, own = tape.reading.prior[:, step], tape.reading.guide_parameters[:, step]
        variances = objective.gradient_variance(task, prior, np.array(own))
        if variances is None:
            return {}
        rows = [*variances[0], *variances[1]]
        for row, role, name in _comparable(tape):
            size = np.sqrt(np.ravel(rows[row]) / particles) * np.abs(_jacobian(tape, name)[step])
            found.setdefault(role, []).append(size)
    return {role: np.maximum(np.mean(sizes, axis=0), 1e-300) for role, sizes in found.items()}
