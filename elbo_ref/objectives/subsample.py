r"""Minibatches, as ``pyro.plate(..., subsample_size=B)`` takes them.

Each particle sees B of M, drawn without replacement, and counts them M/B times: its estimate has
the expectation of the whole one (Hoffman, Blei, Wang & Paisley 2013, section 2.3), and more noise.

* Where latents are many the plate is theirs, M = L: prior, guide and likelihood of B latents.
* A single latent is drawn outside the plate of its observations, M = N single trials: only the
  likelihood is of a batch, in which the successes k are hypergeometric.

With f_g = mu_g + noise of variance v_g one particle's variance is, for latents,

    (L/B) sum v_g + L^2/B (1 - B/L) S^2,        S^2 = sum (mu_g - mean mu)^2 / (L - 1),

and for observations, f being linear in k with slope (N/B) (log c - log(1 - c)),

    Var f + (N/B)^2 Var(k) {Var[log c - log(1 - c)] + (E[log c - log(1 - c)])^2}.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import Guide
from elbo_ref.objectives.base import Objective, Step, Task
from elbo_ref.objectives.exact import column, latent_values
from elbo_ref.objectives.gradient_noise import GradientNoise
from elbo_ref.objectives.mean_field import TraceMeanField
from elbo_ref.objectives.score_function import ScoreFunctionGradient
from elbo_ref.objectives.trace import MOST_DRAWS, Trace

_MOST_OBSERVATIONS = 10**9
"""NumPy's hypergeometric draws take fewer of each kind."""


class Batch(Task):
    """The batches of the particles side by side: one column and one draw for each member.

    Parameters
    ----------
    whole : Task
    entry : int ndarray, shape (C,)
        The entry of the whole task that each column belongs to.
    outcomes : ndarray, shape (2, C)
    weight : float
        The weight of each column.
    """

    def __init__(
        self, whole: Task, entry: NDArray[np.intp], outcomes: FloatArray, weight: float
    ) -> None:
        self.entry, self.outcomes, self._entries = entry, outcomes, whole.weights.size
        self.guide = whole.guide.on(whole.outcomes[:, entry])
        self.num_latents = entry.size
        self.multiplicity = np.ones(entry.size)
        self.weights = np.full(entry.size, weight)
        self.log_coefficient = whole.log_coefficient[entry]

    def params(self, params: FloatArray) -> FloatArray:
        """Pick the guide's parameters of each column."""
        return params if params.shape[1] == 1 else params[:, self.entry]

    def collected(self, by_params: FloatArray) -> FloatArray:
        """Add up the gradient of each entry's parameters from that of each column."""
        if self.guide.shared:
            return by_params
        of_entry = np.zeros((len(by_params), self._entries))
        for row, columns in zip(of_entry, by_params, strict=True):
            row[:] = np.bincount(self.entry, columns, self._entries)
        return of_entry


class Subsampled(Objective):
    """An objective on batches of `size`."""

    def __init__(self, whole: Objective, size: int) -> None:
        if not isinstance(whole, Trace | TraceMeanField | ScoreFunctionGradient):
            raise ValueError(f'subsample_size is not for loss="{whole.name}"')
        self._whole: Trace | TraceMeanField | ScoreFunctionGradient = whole
        self._size = size
        self.name = whole.name

    def adapted(self, guide: Guide) -> Guide:
        """Return the guide as the whole objective sees it."""
        return self._whole.adapted(guide)

    def prepare(self, task: Task, num_particles: int) -> None:
        """Refuse batches that are larger than the data, or of what is not kept apart."""
        total, what = _total(task)
        if self._size > total:
            raise ValueError(f"subsample_size = {self._size} exceeds the {total} {what}")
        if what == "observations":
            coefficient = abs(float(task.log_coefficient[0]))
            if coefficient > 1e-9 * max(1.0, abs(float(task.counts.log_split[0]))):
                raise ValueError(
                    "subsample_size: the observations of the latent must be single trials, as "
                    "counts of several trials are not kept apart"
                )
            if max(task.outcomes[:, 0]) >= _MOST_OBSERVATIONS:
                raise ValueError(
                    f"subsample_size: {total} observations are more than can be drawn from, "
                    f"{_MOST_OBSERVATIONS:.0e} of a kind"
                )
        draws = num_particles * (self._size if what == "latents" else 1)
        if draws > MOST_DRAWS:
            raise ValueError(f"{draws} draws a step, more than {MOST_DRAWS}")
        self._whole.prepare(self._batch(task, num_particles, np.random.default_rng(0)), 1)

    def step(
        self,
        task: Task,
        prior: FloatArray,
        params: FloatArray,
        num_particles: int,
        rng: np.random.Generator,
    ) -> Step:
        """Evaluate the objective on a batch; its value leaves nothing to `rest`."""
        batch = self._batch(task, num_particles, rng)
        each = batch.params(params)
        found = self._whole.step(batch, prior, each, 1, rng)
        rest = self._whole.rest(batch, Beta(*prior[:, None]), each[:, None])
        return Step(found.prior, batch.collected(found.params), found.value + float(rest[0]))

    def rest(self, _task: Task, _priors: Beta, param_rows: FloatArray) -> FloatArray:
        """Zeros: a batch's constants are part of the value that `step` gives."""
        return np.zeros(param_rows.shape[1])

    def variance(self, task: Task, prior: Beta, params: FloatArray) -> float:
        """Variance of one particle's estimate; the module's opening has the formulas."""
        total, what = _total(task)
        factor = total / self._size
        whole = float(task.weights @ self._whole.latent_variances(task, prior, params))
        if what == "latents":
            values = latent_values(task, prior, params)
            away = values - task.weights @ values / total
            spread = float(task.weights @ away**2) / max(total - 1, 1)
            return factor * whole + total * (factor - 1) * spread
        source = task.guide.source
        x = task.guide.source_parameters(column(prior), params)
        up, down = source.expected_logs(x)
        variance = source.variance(np.array(((1.0,), (-1.0,))), x)
        slope = float(np.ravel(variance)[0] + np.ravel(up - down)[0] ** 2)
        return whole + self._tilt_variance(task) * slope

    def gradient_variance(
        self, task: Task, prior: FloatArray, params: FloatArray
    ) -> tuple[FloatArray, FloatArray] | None:
        """Variance of one particle's gradient, with that of the batch."""
        noise = self._whole.gradient_noise(task, prior, params)
        if noise is None:
            return None
        total, what = _total(task)
        factor = total / self._size
        if what == "observations":
            low, high = (self._aside(task, prior, params, shift) for shift in (-1.0, 1.0))
            moves = self._tilt_variance(task) / 4
            by_prior, by_params = (
                here + moves * (2 * (less + more - 2 * here) + (up - down) ** 2)
                for here, less, more, down, up in zip(
                    noise[1::2], low[1::2], high[1::2], low[::2], high[::2], strict=True
                )
            )
            return by_prior[:, 0], by_params
        w, rest = task.weights, (total - self._size) / max(total - 1, 1)

        def of_sum(mean: FloatArray, variance: FloatArray) -> FloatArray:
            away = mean - (mean @ w / total)[:, None]
            spread: FloatArray = factor * (variance @ w + rest * (away**2 @ w))
            return spread

        by_prior = of_sum(noise.prior_mean, noise.prior_variance)
        if task.guide.shared:
            return by_prior, of_sum(noise.own_mean, noise.own_variance)[:, None]
        chosen = factor * w * (noise.own_variance + rest * (1 - w / total) * noise.own_mean**2)
        return by_prior, chosen

    def _tilt_variance(self, task: Task) -> float:
        """Variance of (N/B) k."""
        total, (successes, failures) = float(task.counts.total_count[0]), task.outcomes[:, 0]
        rest = (total - self._size) / self._size / max(total - 1, 1)
        return float(successes * failures * rest)

    def _aside(
        self, task: Task, prior: FloatArray, params: FloatArray, shift: float
    ) -> GradientNoise:
        """Noise with so many successes more and failures less."""
        moved = task.outcomes + np.array(((shift,), (-shift,)))
        batch = Batch(task, np.zeros(1, dtype=np.intp), moved, 1.0)
        noise = self._whole.gradient_noise(batch, prior, params)
        assert noise is not None
        return noise

    def _batch(self, task: Task, num_particles: int, rng: np.random.Generator) -> Batch:
        total, what = _total(task)
        scale = total / self._size
        if what == "observations":
            successes, failures = task.counts.successes[0], task.counts.failures[0]
            k = rng.hypergeometric(successes, failures, self._size, num_particles)
            outcomes = scale * np.array((k, self._size - k), dtype=np.float64)
            entry = np.zeros(num_particles, dtype=np.intp)
            return Batch(task, entry, outcomes, 1 / num_particles)
        chosen = [
            rng.choice(total, self._size, replace=False, shuffle=False)
            for _ in range(num_particles)
        ]
        entry = np.searchsorted(task.latents_up_to, np.concatenate(chosen), "right")
        return Batch(task, entry, task.outcomes[:, entry], scale / num_particles)


def _total(task: Task) -> tuple[int, str]:
    """Size of the data that a batch is taken from, and what they are."""
    if len(task.counts) == task.num_latents == 1:
        return int(task.counts.total_count[0]), "observations"
    return task.num_latents, "latents"
