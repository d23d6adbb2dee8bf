"""The gradients of a run beside those of its draws, and the mistake that explains a difference.

The gradient of one step follows from its draws, as the loss does; but PyTorch differentiates a Beta
draw by an approximation. So theirs are compared with the exact gradient first; a difference is put
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
from dataclasses import dataclass

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.findings import Finding, Status
from elbo_ref.crosscheck.given_draws import Columns
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.objectives.base import Task
from elbo_ref.recording.guide_sites import guide_with
from elbo_ref.recording.replay.comparison import Comparison
from elbo_ref.recording.replay.gradient_parts import gradient_parts
from elbo_ref.recording.replay.kernel import installed_pytorch, torch_pathwise
from elbo_ref.recording.replay.losses import Explanation
from elbo_ref.recording.replay.trace import ReplayTrace

RULED_OUT = ("gradient_detached", "gradient_scaled", "gradient_estimator", "gradient_mismatch")
MATTERS = 0.1
"""Bias over standard deviation from which the kernel matters."""

DIGITS = 1e-10
"""Allowance in float64, of all terms without signs: PyTorch's polygammas are no better."""

_NOISE = 16.0
"""Allowance for PyTorch's kernel, in units of its spread over neighbouring draws."""

_ENOUGH = 10
"""Steps that a standard deviation can be estimated from."""

_STEPS, _MOST = 8, 2000
"""Steps at which the standard deviation is worked out; fewer for more latents in all."""

_ABSENT = (
    "it goes through PyTorch's derivative of a Beta draw: "
    "where PyTorch is installed too, `replay` tests it"
)
_NO_NUMBER = "PyTorch's derivative of a Beta draw is not finite at some of these draws"


@dataclass(frozen=True)
class Gradient:
    """The gradient of the loss for one argument, theirs and others, (T, 1 or L).

    Attributes
    ----------
    role : str
    theirs : array
        The recorded one.
    density, through : array
        The exact parts at fixed draws and through them.
    by_kernel : array or None
        `through` by PyTorch's own derivative; None where no Beta is drawn, or without PyTorch.
    score : array
        The score-function estimator; nan where there is none.
    detached : array
        The gradient where the posterior, as guide, is detached from the prior's parameters; nan
        for another guide.
    allowance, kernel_allowance : array
        Rounding of the exact gradient; of PyTorch's derivative, infinite where it is not known.
    through_beta : bool
        Whether it goes through a Beta draw, beyond rounding.
    by_gammas : bool
        Whether such a draw is differentiated as a pair of gammas, as NumPyro does.
    by_score : bool
        Whether the draws have no derivative, so that the score function estimates it.
    """

    role: str
    theirs: FloatArray
    density: FloatArray
    through: FloatArray
    by_kernel: FloatArray | None
    score: FloatArray
    detached: FloatArray
    allowance: FloatArray
    kernel_allowance: FloatArray
    through_beta: bool
    by_gammas: bool
    by_score: bool

    @property
    def exact(self) -> FloatArray:
        """The exact gradient of these draws."""
        return self.density + self.through

    @property
    def paths(self) -> list[FloatArray]:
        """The part through the draws: by PyTorch's derivative if that is known, and exactly."""
        return [x for x in (self.by_kernel, self.through) if x is not None]

    @property
    def vanishes(self) -> bool:
        """Tell whether theirs are all zero, which no derivative of draws can make of `density`."""
        return not np.any(self.theirs) and bool(np.any(np.abs(self.density) > self.allowance))

    def beside_exact(self, other: FloatArray) -> Comparison:
        """Compare theirs with a gradient that needs no derivative by PyTorch."""
        return Comparison(self.theirs, np.broadcast_to(other, self.theirs.shape), self.allowance)

    def beside(self, other: FloatArray, times: float = 1.0) -> Comparison:
        """Compare theirs with a gradient that PyTorch's derivative may be in."""
        allowance = (self.allowance + self.kernel_allowance) * times
        return self.beside_exact(other)._replace(allowance=allowance)

    def at(self, index: tuple[int, ...]) -> str:
        """Say in words which gradient is at an index."""
        latent = f", latent {index[1]}" if self.theirs.shape[1] > 1 else ""
        return f"gradient of {self.role} at step {index[0]}{latent}"


def compare_gradients(explanation: Explanation) -> list[Finding]:
    """Compare the gradient for every argument that has one, at every step."""
    trace = explanation.trace
    if not explanation.explained:
        return [_untested("the losses are not explained, so there is nothing to compare with")]
    findings: list[Finding] = []
    gradients = list(_gradients(trace))
    if not gradients:
        return [_untested("no gradient of an argument is recorded")]
    findings += [_compared(x, trace.model.factor)._replace(of=x.role) for x in gradients]
    if any(x.by_score for x in gradients):
        what = "the gradients of the guide are those of the score function: noisier, and no mistake"
        reason = "its has_rsample is False"
        findings.append(Finding("score_function", what, reason=reason, status="note"))
    if any(gradient.through_beta and not gradient.by_gammas for gradient in gradients):
        deviations = _standard_deviations(trace)
        findings.append(_kernel_error(gradients, trace, deviations))
    return findings


def _untested(reason: str, quantity: str = "the gradients") -> Finding:
    return Finding("gradients", quantity, reason=reason, status="untested")


def _gradients(trace: ReplayTrace) -> Iterator[Gradient]:
    guide, model = trace.guide, trace.model
    through_beta = guide.source is BETA
    by_gammas = through_beta and model.numpyro
    by_score = not trace.reparameterized
    asked = through_beta and not by_gammas and installed_pytorch() is not None

    def evaluate(columns: Columns) -> FloatArray:
        x = guide.source_parameters(columns.prior, columns.guide_parameters)
        exact = guide.source.pathwise(columns.logit, x)
        parts = gradient_parts(model, columns, exact)
        unknown = np.full_like(parts.density, np.nan)
        kernel, error, detached = unknown, np.zeros_like(unknown), unknown
        if through_beta:
            error = parts.through_magnitude
        if asked:
            theirs = torch_pathwise(columns.c, *x)
            assert theirs is not None
            kernel = gradient_parts(model, columns, theirs.slopes).through
            error = _NOISE * gradient_parts(model, columns, theirs.spread).through_magnitude
        if guide.origin == "posterior" and not guide.detached:
            other = model._replace(guide=guide_with(origin="posterior", detached=True))
            detached = gradient_parts(other, columns, exact).density
        exactly = parts.density, parts.through, parts.magnitude, parts.rounding
        return np.array([*exactly, parts.score, kernel, error, detached])

    values = trace.over_steps(evaluate)
    eps = float(np.finfo(model.dtype).eps)
    for row, role, theirs in trace.learned():
        wide = trace.of_all(model.term_scale * values[:, row], theirs.shape[1])
        density, through, magnitude, rounding, score, kernel, error, detached = wide
        known = np.isfinite(kernel) if asked else error == 0
        allowance = max(8 * eps, DIGITS) * np.abs(magnitude) + 4 * eps * np.abs(rounding)
        yield Gradient(
            role=role,
            theirs=theirs,
            density=-density,
            through=-through,
            by_kernel=-np.where(known, kernel, through) if asked else None,
            score=-score,
            detached=-detached,
            allowance=allowance,
            kernel_allowance=np.where(known, np.abs(error), np.inf),
            through_beta=through_beta and bool(np.any(np.abs(through) > allowance)),
            by_gammas=by_gammas and bool(np.any(through)),
            by_score=by_score and bool(np.any(through)),
        )


def _compared(gradient: Gradient, factor: float) -> Finding:
    """Compare with the exact gradient, then PyTorch's, then that times the losses' factor."""
    exactly = gradient.beside_exact(gradient.exact)
    quantity = f"the gradient of {gradient.role}"
    if gradient.by_gammas and not exactly.agree:
        reason = "NumPyro differentiates a pair of gammas, which the draw alone does not determine"
        return _untested(reason, quantity)
    if gradient.by_score:
        score = gradient.beside_exact(gradient.score)
        if not score.agree:
            return _untested("of the score function, with a baseline or in parts", quantity)
        words, index = f"all steps: {quantity}, by the score function", score.farthest()
        return score.finding("gradients", words, index, "rounding of the terms", "agrees")
    candidates = [
        (exactly, "rounding of the terms"),
        (gradient.beside_exact(gradient.detached), "with the posterior detached"),
    ]
    times = f"multiplied by {number(factor)}, as the losses are"
    if factor != 1:
        candidates.append((gradient.beside_exact(factor * gradient.exact), times))
    compared = gradient.beside(gradient.density + gradient.paths[0])
    if np.all(np.isfinite(gradient.kernel_allowance)) and not gradient.vanishes:
        candidates.append((compared, "by PyTorch's own derivative at these draws"))
        for path in gradient.paths if factor != 1 else []:
            candidates.append((gradient.beside(factor * (gradient.density + path)), times))
    for candidate, reason in candidates:
        if candidate.agree:
            index = candidate.farthest()
            words = f"all steps, the farthest: {gradient.at(index)}"
            return candidate.finding("gradients", words, index, reason, "agrees")
    if gradient.vanishes:
        compared = exactly
    elif compared.agree:
        return _untested(_NO_NUMBER if gradient.by_kernel is not None else _ABSENT, quantity)
    name, reason = _cause(gradient)
    index = compared.first()
    return compared.finding(name, gradient.at(index), index, reason, "mistake")


def _cause(gradient: Gradient) -> tuple[str, str]:
    """Find the mistake that gives these gradients in every step."""
    density, paths = gradient.density, gradient.paths
    if not np.any(gradient.theirs):
        return "gradient_detached", "they are all zero"
    if np.any(gradient.through) and gradient.beside(density).agree:
        return "gradient_detached", "they lack the part through the draws"
    if np.any(density) and any(gradient.beside(path).agree for path in paths):
        return "gradient_detached", "they lack the part through the densities"
    if gradient.beside(gradient.score).agree:
        return "gradient_estimator", "they are those of the score function, which are noisier"
    for path in paths:
        ours = density + path
        square = float((ours * ours).sum())
        factor = float((gradient.theirs * ours).sum()) / square if square else 0.0
        if factor and gradient.beside(factor * ours, max(1.0, abs(factor))).agree:
            return "gradient_scaled", f"they are ours times {number(factor)}"
    return "gradient_mismatch", "no known mistake gives them"


def _kernel_error(
    gradients: list[Gradient], trace: ReplayTrace, deviations: dict[str, FloatArray]
) -> Finding:
    """Weigh the effect of PyTorch's kernel on the gradients of these draws."""
    worst, what = 0.0, ""
    asked = [gradient for gradient in gradients if gradient.by_kernel is not None]
    reason = "its own value at these draws, less the exact derivative"
    if not deviations and trace.recording.num_steps >= _ENOUGH:
        deviations = {gradient.role: _scatter(gradient.exact) for gradient in gradients}
        reason += "; the standard deviations by the differences of steps"
    for gradient in asked:
        if gradient.role not in deviations:
            continue
        bias = np.abs((gradient.paths[0] - gradient.through).mean(axis=0))
        rounding = gradient.allowance.mean(axis=0)
        units = np.maximum(deviations[gradient.role], rounding)
        ratio = np.where(bias > rounding, bias / units, 0.0)
        index = int(np.argmax(ratio))
        if ratio[index] >= worst:
            latent = f", latent {index}" if ratio.size > 1 else ""
            worst, what = float(ratio[index]), f"{gradient.role}{latent}"
    if not what:
        reason = "there are too few steps to know how noisy they are" if asked else _ABSENT
        words = "what PyTorch's derivative of a Beta draw does to these gradients"
        return Finding("kernel_error", words, reason=reason, status="untested")
    words = (
        f"bias of PyTorch's Beta derivative over these draws, for {what}, in standard deviations "
        "of a step's gradient:"
    )
    status: Status = "mistake" if worst > MATTERS else "note"
    return Finding("kernel_error", words, worst, 0.0, MATTERS, reason, status)


def _scatter(gradients: FloatArray) -> FloatArray:
    """Estimate the standard deviation of rows whose expectation moves slowly."""
    steps = np.diff(gradients, axis=0)
    return np.asarray(np.sqrt((steps * steps).mean(axis=0) / 2))


def _standard_deviations(trace: ReplayTrace) -> dict[str, FloatArray]:
    """Compute the Monte Carlo standard deviation of a step's gradient by role, (1 or L,)."""
    model = trace.model
    scaled = np.any(model.term_scale != 1) or model.likelihood_weight != 1
    if model.batch is not None or model.prior.shape[2] > 1 or scaled:
        return {}
    objective, task = model.loss, Task(trace.guide, model.counts)
    last, particles = trace.recording.num_steps - 1, trace.draws.c.shape[1]
    sizes: dict[str, list[FloatArray]] = {}
    count = max(1, min(_STEPS, _MOST // trace.num_latents))
    for step in np.unique(np.linspace(last, 0, count).astype(int)):
        prior, params = model.prior[:, step], model.guide_parameters[:, step]
        variances = objective.gradient_variance(task, prior, np.array(params))
        if variances is None:
            return {}
        rows = [*variances[0], *variances[1]]
        for row, role, _ in trace.learned():
            deviation = np.sqrt(np.ravel(rows[row]) / particles)
            sizes.setdefault(role, []).append(deviation)
    return {role: np.mean(x, axis=0) for role, x in sizes.items()}
