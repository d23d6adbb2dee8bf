r"""How the losses of a run are distributed, given its parameters at each step.

A particle's estimate for a latent is f = A log c + D log(1 - c) + r + const with c drawn from the
guide (`elbo_ref.guides.protocol`), so that the loss of a step with P particles,

    -(1/P) sum_p sum_g f,

has the cumulant generating function P sum_g K_g(-s/P) - s const. Where c is drawn from Beta(a, b),

    K_g(s) = log B(a + s A, b + s D) - log B(a, b),

finite while both arguments are positive. A normal guide takes a quadrature over its draw instead;
so does a Beta where draws reach what the run's own arithmetic can hold: Pyro clips draws to
[tiny, 1 - eps/2] and clamps the probability of the likelihood to [eps, 1 - eps], and where that
matters, the losses are those of the clamped draws.

Losses with a log-mean-exp (`Renyi`) and minibatches are sampled.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref.arguments import FloatArray
from elbo_ref.beta import Beta
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.tails import Law, SaddlepointLaw, SampledLaw
from elbo_ref.guides import GUIDES, Parameter
from elbo_ref.logit_normal import LogitNormal
from elbo_ref.objectives import Objective, Renyi
from elbo_ref.objectives.protocol import Task
from elbo_ref.special import trigamma

_NODES = 161
_MOST_NODES = 30_000_000
_MOST_DRAWS = 20_000_000
_RARE = 1e-4
"""With fewer clamped draws than this expected in all losses, none is taken to be."""


class Arithmetic(NamedTuple):
    """What a run's own floating point does to a draw of c."""

    eps: float
    tiny: float

    @classmethod
    def of(cls, dtype: str) -> Arithmetic:
        """Of ``"float32"`` or ``"float64"``."""
        info = np.finfo(dtype)
        return cls(float(info.eps), float(info.tiny))

    def logs(self, logit: FloatArray) -> tuple[FloatArray, FloatArray]:
        """log c and log(1 - c), (2, ...), as densities of c and as the likelihood see them."""
        exact = sc.log_expit(np.array((logit, -logit)))
        ends = np.log(np.array((self.tiny, self.eps / 2)))
        seen = np.maximum(exact, ends.reshape(2, *[1] * logit.ndim))
        return seen, np.maximum(exact, np.log(self.eps))


class Story(NamedTuple):
    """One account of how losses came about: which parameters, data and formula they belong to.

    `prior` is (2, T, 1) and `own` (k, T, G), one column for each loss. The loss is `factor` times
    what it should be, plus `constant`; the likelihood counts `scale` times; a step sees `batch` of
    the latents, or of a shared latent's single trials, all of them if None, and multiplies what
    it sees by `batch_scale`.
    """

    counts: Counts
    guide: str
    loss: Objective
    num_particles: int
    prior: FloatArray
    own: FloatArray
    dtype: str
    clamped: bool = True
    factor: float = 1.0
    constant: float = 0.0
    scale: float = 1.0
    batch: int | None = None
    batch_scale: float = 1.0

    def at(self, steps: slice) -> Story:
        """The same for some of the losses."""
        return self._replace(prior=self.prior[:, steps], own=self.own[:, steps])


class Terms(NamedTuple):
    """The linear forms of a story: of T losses, G latents."""

    task: Task
    first: FloatArray
    """Of the distribution that c is drawn from, (T, G): concentration1, or loc, or the logit."""
    second: FloatArray
    """concentration0, or scale, or 0."""
    kind: type
    up: FloatArray
    down: FloatArray
    constants: FloatArray
    """(T, G)."""
    likelihood: FloatArray
    """How many successes and failures of the tilt are the likelihood's, (2, 1, G)."""

    @classmethod
    def of(cls, story: Story) -> Terms:
        task = Task(story.loss.adapted(GUIDES[story.guide]), story.counts)
        guide, outcomes = task.guide, task.outcomes
        steps, size = story.prior.shape[1], len(story.counts)
        tilts = np.empty((2, steps, size))
        constants = np.empty((steps, size))
        analytic = story.loss.name == "trace_mean_field"
        for t in range(steps):
            prior, own = story.prior[:, t], story.own[:, t]
            whole = np.broadcast_to(guide.tilt(prior, own, outcomes), (2, size))
            tilts[:, t] = outcomes if analytic else whole
            constants[t] = guide.normalizer(Beta(*prior), own) + task.log_coefficient
            if analytic:
                constants[t] += ((whole - outcomes) * guide.log_moments(prior, own)).sum(axis=0)
        constants += (story.scale - 1) * task.log_coefficient
        tilts += (story.scale - 1) * outcomes[:, None]
        draw = guide.draw(Beta(*story.prior), story.own)
        if isinstance(draw, Parameter):
            first, second = np.asarray(draw.logits), np.zeros(())
        else:
            assert isinstance(draw, Beta | LogitNormal)
            first, second = draw.arrays()
        shape = (steps, size)
        return cls(
            task,
            np.broadcast_to(first, shape),
            np.broadcast_to(second, shape),
            type(draw),
            tilts[0],
            tilts[1],
            constants,
            story.scale * outcomes[:, None],
        )

    @property
    def logs(self) -> FloatArray:
        """log c and log(1 - c) at a typical draw, (2, T, G)."""
        if self.kind is Beta:
            total = sc.psi(self.first + self.second)
            return np.array((sc.psi(self.first) - total, sc.psi(self.second) - total))
        spread = np.where(self.second > 0, self.second, 0.0)
        ends: FloatArray = np.array((self.first, -self.first))
        return sc.log_expit(ends - spread)

    def magnitude(self) -> FloatArray:
        """The sum of the absolute values of what a loss is made of, (T,)."""
        counts, logs = self.task.counts, np.abs(self.logs)
        each = np.abs(self.constants) + counts.total_count * logs.sum(axis=0)
        each = each + 2 * sc.gammaln(counts.total_count + 1.0)
        if self.kind is Beta:
            x = np.array((self.first, self.second))
            each = each + ((x + 1) * logs + np.abs(sc.gammaln(x))).sum(axis=0)
            each = each + np.abs(sc.gammaln(x.sum(axis=0)))
        found: FloatArray = each @ self.task.weights
        return found


def law_of(story: Story, rng: np.random.Generator) -> tuple[Law, FloatArray]:
    """How the losses of a story are distributed, and how far rounding may move them."""
    terms = Terms.of(story)
    rounding = 4 * np.finfo(story.dtype).eps * abs(story.factor) * terms.magnitude()
    if isinstance(story.loss, Renyi) or story.batch is not None:
        return SampledLaw(_sampled(story, terms, rng)), rounding
    if terms.kind is Beta and not (story.clamped and _is_clamped(story, terms)):
        return SaddlepointLaw(_BetaCumulants(story, terms)), rounding
    return SaddlepointLaw(_NodeCumulants(story, terms)), rounding


def means_of(story: Story) -> FloatArray:
    """The expected losses of a story without minibatches, (T,); nothing is clamped."""
    terms = Terms.of(story)
    cumulants = _BetaCumulants if terms.kind is Beta else _NodeCumulants
    return cumulants(story._replace(clamped=False), terms).at(np.zeros(len(terms.first)))[1]


def clamped_draws(story: Story) -> float:
    """How many draws of c are expected to be clamped, in all losses."""
    return _clamped(story, Terms.of(story))


def _clamped(story: Story, terms: Terms) -> float:
    if terms.kind is not Beta:
        return np.inf
    eps = np.finfo(story.dtype).eps
    a, b = terms.first, terms.second
    each = sc.betainc(a, b, eps) + sc.betainc(b, a, eps)
    return float(story.num_particles * (each @ terms.task.weights).sum())


def _is_clamped(story: Story, terms: Terms) -> bool:
    return terms.first.size * _NODES <= _MOST_NODES and _clamped(story, terms) > _RARE


class _BetaCumulants:
    """In closed form."""

    def __init__(self, story: Story, terms: Terms) -> None:
        self._terms, self._unit = terms, -story.factor / story.num_particles
        self._particles = story.num_particles
        weights = terms.task.weights
        self._constants = story.constant - story.factor * (terms.constants @ weights)
        present = weights > 0
        ends = []
        for x, tilt in ((terms.first, terms.up), (terms.second, terms.down)):
            with np.errstate(divide="ignore"):
                ends.append(np.where(present & (tilt != 0), -x / (tilt * self._unit), np.inf))
        each = np.concatenate(ends, axis=1)
        self.low = np.where(each < 0, each, -np.inf).max(axis=1)
        self.high = np.where(each > 0, each, np.inf).min(axis=1)

    def at(self, s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        t, unit = self._terms, self._unit
        scaled = (s * unit)[:, None]
        floor = 1e-300
        a = np.maximum(t.first + scaled * t.up, floor)
        b = np.maximum(t.second + scaled * t.down, floor)
        weights, both = t.task.weights, t.up + t.down
        k = sc.betaln(a, b) - sc.betaln(t.first, t.second)
        slope = t.up * sc.psi(a) + t.down * sc.psi(b) - both * sc.psi(a + b)
        curve = t.up**2 * trigamma(a) + t.down**2 * trigamma(b) - both**2 * trigamma(a + b)
        times = self._particles
        return (
            times * (k @ weights) + s * self._constants,
            times * unit * (slope @ weights) + self._constants,
            times * unit**2 * np.maximum(curve @ weights, 0.0),
        )


class _NodeCumulants:
    """By quadrature over each latent's draw, which the run's arithmetic clamps."""

    def __init__(self, story: Story, terms: Terms) -> None:
        logit, log_weights = _nodes(terms)
        arithmetic = Arithmetic.of(story.dtype)
        seen, likely = arithmetic.logs(logit)
        if not story.clamped:
            seen = likely = sc.log_expit(np.array((logit, -logit)))
        tilt = np.array((terms.up, terms.down))[..., None]
        likelihood = terms.likelihood[..., None]
        own = np.broadcast_to(story.own, (len(story.own), *terms.first.shape))[..., None]
        residual = terms.task.guide.residual(logit, own)
        form = ((tilt - likelihood) * seen + likelihood * likely).sum(axis=0) + residual
        self._form, self._log_weights = form, log_weights
        self._weights = terms.task.weights
        self._unit, self._particles = -story.factor / story.num_particles, story.num_particles
        self._constants = story.constant - story.factor * (terms.constants @ self._weights)
        self.low = np.full(len(form), -np.inf)
        self.high = np.full(len(form), np.inf)

    def at(self, s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        unit, times = self._unit, self._particles
        powers = self._log_weights + (s * unit)[:, None, None] * self._form
        highest = powers.max(axis=-1, keepdims=True)
        weights = np.exp(powers - highest)
        total = weights.sum(axis=-1, keepdims=True)
        weights /= total
        k = (highest + np.log(total))[..., 0]
        slope = (weights * self._form).sum(axis=-1)
        curve = (weights * (self._form - slope[..., None]) ** 2).sum(axis=-1)
        return (
            times * (k @ self._weights) + s * self._constants,
            times * unit * (slope @ self._weights) + self._constants,
            times * unit**2 * (curve @ self._weights),
        )


def _nodes(terms: Terms) -> tuple[FloatArray, FloatArray]:
    """Logits and log weights of a trapezoidal rule for each latent, (T, G, nodes)."""
    first, second = terms.first[..., None], terms.second[..., None]
    if terms.kind is Beta:
        center = np.log(first) - np.log(second)
        spread = np.sqrt(1 / first + 1 / second)
        low, high = (np.arcsinh(40 * (1 / x / spread + 1)) for x in (first, second))
        u = -low + (low + high) * np.linspace(0, 1, _NODES)
        logit = center + spread * np.sinh(u)
        log_density = first * sc.log_expit(logit) + second * sc.log_expit(-logit)
        log_weights = log_density + np.log(np.cosh(u))
    elif terms.kind is LogitNormal:
        z = np.linspace(-9.0, 9.0, _NODES)
        logit, log_weights = (
            first + second * z,
            np.broadcast_to(-z * z / 2, (*first.shape[:2], _NODES)),
        )
    else:
        logit, log_weights = first + 0.0, np.zeros(first.shape)
    return logit, log_weights - sc.logsumexp(log_weights, axis=-1, keepdims=True)


def _sampled(story: Story, terms: Terms, rng: np.random.Generator) -> FloatArray:
    """Losses drawn as the run draws them, (T, M)."""
    task, particles = terms.task, story.num_particles
    steps, size = terms.first.shape
    renyi = story.loss if isinstance(story.loss, Renyi) else None
    samples = renyi.num_samples if renyi else 1
    latents = task.num_latents if story.batch is None or size == 1 else story.batch
    repeats = int(np.clip(_MOST_DRAWS // (steps * particles * samples * latents), 200, 20_000))
    losses = np.empty((steps, repeats))
    for t in range(steps):
        entry, outcomes = _batches(story, task, (repeats * particles, latents), rng)
        tilt = np.array((terms.up[t], terms.down[t]))[:, entry] + outcomes
        prior, own = story.prior[:, t], np.broadcast_to(story.own[:, t], (len(story.own), size))
        shape = (samples, *entry.shape)
        each = own[:, entry.ravel()]
        logit = task.guide.sample_logit(prior, each, (samples, entry.size), rng).reshape(shape)
        logs = sc.log_expit(np.array((logit, -logit)))
        form = tilt[0] * logs[0] + tilt[1] * logs[1]
        form = form + task.guide.residual(logit, own[:, entry]) + terms.constants[t][entry]
        if renyi:
            rest = 1 - renyi.alpha
            form = (sc.logsumexp(rest * form, axis=0) - np.log(samples)) / rest
        else:
            form = form[0]
        scaled = story.batch_scale * form.sum(axis=-1) if size > 1 else form.sum(axis=-1)
        losses[t] = -scaled.reshape(repeats, particles).mean(axis=1)
    return story.constant + story.factor * losses


def _batches(
    story: Story, task: Task, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.intp], FloatArray]:
    """The entries that each particle sees, and what its outcomes are more than the entries'."""
    particles, latents = shape
    whole = np.broadcast_to(task.entry_of_latent, (particles, task.num_latents))
    if story.batch is None:
        return whole, np.zeros((2, 1, 1))
    if len(story.counts) > 1:
        order = rng.random((particles, task.num_latents)).argpartition(story.batch - 1, axis=1)
        return task.entry_of_latent[order[:, :latents]], np.zeros((2, 1, 1))
    k, f = int(task.counts.successes[0]), int(task.counts.failures[0])
    found = rng.hypergeometric(k, f, story.batch, particles)
    seen = np.array((found, story.batch - found), dtype=np.float64)[..., None]
    return whole, story.batch_scale * seen - task.outcomes[:, :, None]
