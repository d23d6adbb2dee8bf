r"""One account of how losses came about, and the linear forms in a draw that it makes of them.

A particle's estimate for a latent is f = A log c + D log(1 - c) + r + const with c drawn from the
guide (`elbo_ref.guides.catalogue`); a step's loss with P particles is -(1/P) sum_p sum_g f.

PyTorch clips draws of a Beta to [tiny, 1 - eps/2] and sigmoids to [tiny, 1 - eps], rounds 1 - c
to a multiple of eps/2, and clamps the probability of the likelihood to [eps, 1 - eps]
(``torch.distributions``: ``dirichlet`` in its C++ kernels, ``transforms._clipped_sigmoid`` and
``utils.clamp_probs``). The Jacobian of a sigmoid is never clamped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import BETA, Beta
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL, LogitNormal
from elbo_ref.distributions.point import Parameter
from elbo_ref.guides import GUIDES
from elbo_ref.objectives import Objective, Renyi
from elbo_ref.objectives.base import Task


class Arithmetic(NamedTuple):
    """What a run's own floating point does to a draw of c."""

    dtype: str
    eps: float
    tiny: float

    @classmethod
    def of(cls, dtype: str) -> Arithmetic:
        """Of ``"float32"`` or ``"float64"``."""
        info = np.finfo(dtype)
        return cls(dtype, float(info.eps), float(info.tiny))

    def logs(self, logit: FloatArray, kind: type) -> tuple[FloatArray, FloatArray]:
        """log c and log(1 - c), (2, ...), as densities of c and as the likelihood see them."""
        highest = 1 - (self.eps / 2 if kind is Beta else self.eps)
        c = np.clip(sc.expit(logit).astype(self.dtype).astype(np.float64), self.tiny, highest)
        p = np.clip(c, self.eps, 1 - self.eps)
        return np.log((c, 1 - c)), np.log((p, 1 - p))


class Story(NamedTuple):
    """One account of how losses came about: which parameters, data and formula they belong to.

    `prior` is (2, T, 1) and `own` (k, T, G), one column for each loss. The loss is `factor` times
    what it should be, plus `constant`; the likelihood counts `scale` times; a step sees `batch` of
    the latents, or of a shared latent's single trials, all of them if None, and multiplies what
    it sees by `batch_scale`. A Renyi bound is taken as `bound` says: of each latent, its log
    weights scaled, as in a plate of Pyro's; of each and scaled after, as NumPyro does; mixed, where
    each sample has a batch of its own; or of all latents together, as outside of a plate. Another
    independent story may be added, `beside` it.
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
    bound: Literal["each", "scaled_after", "mixed", "together"] = "each"
    beside: Story | None = None

    def at(self, steps: slice) -> Story:
        """The same for some of the losses."""
        return self._replace(
            prior=self.prior[:, steps],
            own=self.own[:, steps],
            beside=self.beside and self.beside.at(steps),
        )

    def other_bounds(self) -> Iterator[tuple[Story, str]]:
        """The other ways in which its Renyi bound may have been taken, and that they were."""
        if not isinstance(self.loss, Renyi) or self.loss.num_samples == 1:
            return
        if self.batch is None:
            if len(self.counts) > 1:
                words = "of all latents together, as Pyro takes it outside of a plate"
                yield self._replace(bound="together"), words
            return
        words = "of samples with a minibatch each, as Pyro takes it unless particles are vectorized"
        yield self._replace(bound="mixed"), words
        if len(self.counts) > 1:
            words = "of each latent and scaled after, as NumPyro takes it of minibatches"
            yield self._replace(bound="scaled_after"), words

    def alone(self) -> Story:
        """Without what is beside it."""
        return self._replace(beside=None)


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
        guide, outcomes = task.guide, task.outcomes[:, None]
        prior, own = story.prior, story.own
        x = guide.source_parameters(prior, own)
        shape = (story.prior.shape[1], len(story.counts))
        whole = np.broadcast_to(guide.tilt(prior, own, outcomes), (2, *shape))
        constants = np.broadcast_to(guide.normalizer(prior, own) + task.log_coefficient, shape)
        tilts = whole
        if story.loss.name == "trace_mean_field" and guide.source is BETA:
            tilts = np.broadcast_to(outcomes, whole.shape)
            constants = constants + ((whole - tilts) * _expected_logs(*x)).sum(axis=0)
        tilts = tilts + (story.scale - 1) * outcomes
        first, second = (x[0], np.zeros(())) if guide.is_point else x
        return cls(
            task,
            np.broadcast_to(first, shape),
            np.broadcast_to(second, shape),
            guide.kind if not guide.is_point else Parameter,
            tilts[0],
            tilts[1],
            constants + (story.scale - 1) * task.log_coefficient,
            story.scale * outcomes,
        )

    def with_more(self, outcomes: FloatArray) -> Terms:
        """With other outcomes of every latent, by what they are more, (2,)."""
        return self._replace(
            up=self.up + outcomes[0],
            down=self.down + outcomes[1],
            likelihood=self.likelihood + outcomes[:, None, None],
        )

    def form(
        self,
        story: Story,
        logit: FloatArray,
        tilt: FloatArray,
        likelihood: FloatArray,
        own: FloatArray,
    ) -> FloatArray:
        """The form at draws, as the run's arithmetic sees them; all shapes broadcast."""
        exact = sc.log_expit(np.array((logit, -logit)))
        found = self.task.guide.residual(logit, own)
        residual = np.zeros(()) if found is None else found
        if not story.clamped:
            return np.asarray((tilt * exact).sum(axis=0) + residual)
        seen, likely = Arithmetic.of(story.dtype).logs(logit, self.kind)
        guide = self.task.guide
        jacobian = 1.0 + guide.jacobian if guide.source is LOGIT_NORMAL else 0.0
        counted = (tilt - likelihood - jacobian) * seen + likelihood * likely + jacobian * exact
        return np.asarray(counted.sum(axis=0) + residual)

    def expected_logs(self, story: Story) -> FloatArray:
        """E log c and E log(1 - c), (2, T, G)."""
        if self.kind is Beta:
            return _expected_logs(self.first, self.second)
        if self.kind is LogitNormal:
            return LOGIT_NORMAL.expected_logs(story.own)
        return np.asarray(sc.log_expit(np.array((self.first, -self.first))))

    def magnitude(self, story: Story) -> FloatArray:
        """The sum of the absolute values of what a loss is made of, (T,)."""
        counts, logs = self.task.counts, np.abs(self.expected_logs(story))
        each = np.abs(self.constants) + counts.total_count * logs.sum(axis=0)
        each = each + 2 * sc.gammaln(counts.total_count + 1.0)
        drawn = np.array((self.first, self.second))
        for x in (story.prior, drawn) if self.kind is Beta else (story.prior,):
            each = each + ((x + 1) * logs + np.abs(sc.gammaln(x))).sum(axis=0)
            each = each + np.abs(sc.gammaln(x.sum(axis=0)))
        found: FloatArray = each @ self.task.weights
        return found


def _expected_logs(a: FloatArray, b: FloatArray) -> FloatArray:
    """E log c and E log(1 - c) under Beta(a, b), of any shape."""
    return np.asarray(sc.psi(np.array(np.broadcast_arrays(a, b))) - sc.psi(a + b))
