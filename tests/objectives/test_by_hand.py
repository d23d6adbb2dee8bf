"""Steps at known draws, from textbook densities; noise by enumeration of all that may be drawn.

Nothing here is statistical: draws are those of a seeded generator, made once more, and what is
random otherwise is summed over with its probability.
"""

import dataclasses
import itertools

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.scipy.special import betaln
from scipy import special, stats

import elbo_ref as er
from elbo_ref import guides, objectives
from elbo_ref.objectives import base, renyi
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import Exact, checked_task, latent_values
from elbo_ref.objectives.renyi import RenyiBound
from elbo_ref.objectives.score_function import LEAVE_ONE_OUT
from elbo_ref.objectives.subsample import Batch, Subsampled
from elbo_ref.objectives.trace import Trace
from kinds import SEVERAL
from tiers import few

COUNTS, TWO = er.Counts([3, 0, 7], [10, 4, 7]), er.Counts([3, 1], [10, 4])
ROWS = np.array([COUNTS.successes, COUNTS.failures], dtype=float)
PRIOR = np.array([[1.7], [2.4]])
OWN = np.array([[-0.7, -1.5, 1.2], [0.6, 0.9, 0.5]])
PARTICLES, SEED = 4, 11


def given_draws(prior, own, z, held=None):
    """f of each draw (particles, latents) of a normal guide; q's own parameters may be held."""
    y = own[0] + own[1] * z
    log_c, log_rest = -anp.logaddexp(0.0, -y), -anp.logaddexp(0.0, y)
    loc, scale = own if held is None else held
    log_q = -(((y - loc) / scale) ** 2) / 2 - anp.log(scale) - anp.log(2 * np.pi) / 2
    log_q = log_q - log_c - log_rest
    a, b = prior[0, 0], prior[1, 0]
    log_p = (a - 1) * log_c + (b - 1) * log_rest - betaln(a, b)
    return ROWS[0] * log_c + ROWS[1] * log_rest + COUNTS.log_coefficient + log_p - log_q


def mean_of(loss, prior, own, z, held=None):
    """The average over particles, summed over latents."""
    f = given_draws(prior, own, z, held)
    if isinstance(loss, er.Renyi):
        f = anp.reshape(f, (loss.num_samples, PARTICLES, -1)) * (1 - loss.alpha)
        most = f.max(axis=0)
        f = (most + anp.log(anp.mean(anp.exp(f - most), axis=0))) / (1 - loss.alpha)
    return anp.sum(anp.mean(f, axis=0))


@pytest.mark.parametrize(
    "loss",
    [
        "trace",
        "sticking_the_landing",
        "score_function",
        er.ScoreFunction(baseline=-2.5),
        er.ScoreFunction(baseline=LEAVE_ONE_OUT),
        er.Renyi(alpha=0.3, num_samples=3),
    ],
    ids=str,
)
def test_a_step_of_a_normal_guide(loss):
    objective, samples = objectives.find(loss), getattr(loss, "num_samples", 1)
    task = Task(objective.adapted(guides.find("normal")), COUNTS)
    z = np.random.default_rng(SEED).standard_normal((PARTICLES * samples, 3))
    step = objective.step(task, PRIOR, OWN, PARTICLES, np.random.default_rng(SEED))
    rest = objective.rest(task, er.Beta(*PRIOR), OWN[:, None])[0]
    assert step.value + rest == pytest.approx(mean_of(loss, PRIOR, OWN, z), rel=1e-13)
    by_prior = autograd.grad(lambda p: mean_of(loss, p, OWN, z))(PRIOR)
    np.testing.assert_allclose(step.prior, by_prior[:, 0], rtol=1e-11)
    held = OWN if loss == "sticking_the_landing" else None
    by_own = autograd.grad(lambda x: mean_of(loss, PRIOR, x, z, held))(OWN)
    if loss == "score_function" or isinstance(loss, er.ScoreFunction):
        f, baseline = given_draws(PRIOR, OWN, z), getattr(loss, "baseline", 0.0)
        if baseline == LEAVE_ONE_OUT:
            baseline = (f.sum(axis=0) - f) / (PARTICLES - 1)
        score = np.array([z, z * z - 1]) / OWN[1]
        by_own = ((f - baseline) * score).mean(axis=1)
    np.testing.assert_allclose(step.params, by_own, rtol=1e-11)


def test_a_step_of_mean_field():
    """The likelihood at the draws, less the divergence, which is not drawn."""
    objective, own = objectives.find("trace_mean_field"), PRIOR + 0.8 * ROWS
    task = Task(objective.adapted(guides.find("beta")), COUNTS)
    step = objective.step(task, PRIOR, own, PARTICLES, np.random.default_rng(SEED))
    logits = task.guide.source.sample_logits(own, (PARTICLES, 3), np.random.default_rng(SEED))
    logs = np.array([special.log_expit(logits), special.log_expit(-logits)]).mean(axis=1)
    likelihood = (ROWS * logs).sum() + COUNTS.log_coefficient.sum()

    def divergence(shift=(0.0, 0.0), to=(0.0, 0.0)):
        prior = er.Beta(*(PRIOR[:, 0] + shift))
        return er.Beta(*(own + np.reshape(to, (2, 1)))).kl(prior).sum()

    rest = objective.rest(task, er.Beta(*PRIOR), own[:, None])[0]
    assert step.value + rest == pytest.approx(likelihood - divergence(), rel=1e-13)
    for i, way in enumerate(np.eye(2) * 1e-5):
        slope = (divergence(-way) - divergence(way)) / 2e-5
        assert step.prior[i] == pytest.approx(slope, rel=1e-7)
        through = task.guide.source.pathwise(logits, own)[i]
        c = special.expit(logits)
        moved = (through * (ROWS[0] * (1 - c) - ROWS[1] * c)).mean(axis=0)
        slope = (divergence(to=-way) - divergence(to=way)) / 2e-5
        assert step.params[i].sum() == pytest.approx(moved.sum() + slope, rel=1e-7)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["delta", "laplace", "none"])
@pytest.mark.parametrize("block", [1, 3, 8])
@pytest.mark.parametrize("counts", [SEVERAL, TWO], ids=["5", "2"])
def test_a_step_in_blocks_is_the_step(counts, name, shared, block, monkeypatch):
    """Of points, for which nothing is random, whatever the blocks are."""
    guide = dataclasses.replace(guides.find(name), shared=shared)
    own = np.array([[0.3, 1.0, 2.0, -0.5, -1.0]])[:, : 1 if shared else len(counts)]
    rng = np.random.default_rng(0)
    whole = Trace().step(Task(guide, counts), PRIOR, own, 3, rng)
    monkeypatch.setattr(base, "_BLOCK", block)
    parts = Trace().step(Task(guide, counts), PRIOR, own, 3, rng)
    np.testing.assert_allclose(parts.prior, whole.prior, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(parts.params, whole.params, rtol=1e-13, atol=1e-13)
    assert parts.value == pytest.approx(whole.value, rel=1e-13)


def total_variance(probabilities, means, variances):
    """Var = E Var + Var E, over the first axis."""
    p = np.asarray(probabilities)
    means, variances = np.asarray(means), np.asarray(variances)
    center = np.tensordot(p, means, axes=1)
    return np.tensordot(p, variances + (means - center) ** 2, axes=1)


TRIALS = [0, 1, 0, 0, 1, 1, 0, 0, 0]
NORMAL = np.array([[0.3, 1.0, 2.0, -0.5, -1.0], [0.4, 0.9, 0.7, 0.3, 0.6]])
KINDS = {
    "beta": np.array([[4.0, 1.5, 9.0, 14.0, 2.0], [8.0, 6.0, 2.0, 30.0, 5.0]]),
    "normal": NORMAL,
    "delta": NORMAL[:1],
    "beta_shared": np.array([[5.0], [6.0]]),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("counts", "size"), [(SEVERAL, 1), (SEVERAL, 3), (TWO, 1)])
def test_the_noise_of_batches_of_latents(name, counts, size):
    """Over all batches, which are equally probable."""
    task, own, kinds = Task(guides.find(name), counts), KINDS[name][:, : len(counts)], len(counts)
    whole, prior = Trace(), er.Beta(*PRIOR)
    objective, total = Subsampled(whole, size), counts.num_latents
    entries = np.repeat(np.arange(kinds), counts.multiplicity)
    taken = list(itertools.combinations(range(total), size))
    chosen = np.array([np.bincount(entries[list(x)], minlength=kinds) for x in taken])
    even, factor = np.full(len(taken), 1 / len(taken)), total / size

    def of_sum(mean, variance):
        means, variances = factor * chosen @ mean.T, factor**2 * chosen @ variance.T
        return total_variance(even, means, variances)

    values, spread = latent_values(task, prior, own), whole.latent_variances(task, prior, own)
    wanted = of_sum(values + np.zeros((1, kinds)), spread + np.zeros((1, kinds)))
    assert objective.variance(task, prior, own) == pytest.approx(wanted[0], rel=1e-11)
    noise = whole.gradient_noise(task, PRIOR, own)
    by_prior, by_own = objective.gradient_variance(task, PRIOR, own)
    wanted = of_sum(noise.prior_mean, noise.prior_variance)
    np.testing.assert_allclose(by_prior, wanted, rtol=1e-11)
    if task.guide.shared:
        wanted = of_sum(noise.own_mean, noise.own_variance)[:, None]
    else:
        means = factor * chosen[:, None] * noise.own_mean
        wanted = total_variance(even, means, factor**2 * chosen[:, None] * noise.own_variance)
    np.testing.assert_allclose(by_own, wanted, rtol=1e-10, atol=1e-20)


@pytest.mark.parametrize("name", ["beta", "normal", "delta"])
@pytest.mark.parametrize(("row", "size"), [(TRIALS, 1), (TRIALS, 2), (TRIALS, 5), ([0, 1], 1)])
def test_the_noise_of_batches_of_observations(name, row, size):
    """Over all numbers of successes in a batch."""
    counts = er.Counts.shared(row, 1)
    task, own = Task(guides.find(name), counts), KINDS[name][:, :1]
    whole, prior = Trace(), er.Beta(*PRIOR)
    k = np.arange(size + 1)
    p, factor = stats.hypergeom(len(row), sum(row), size).pmf(k), len(row) / size
    batches = [
        Batch(task, np.zeros(1, dtype=np.intp), factor * np.array([[i], [size - i]]), 1.0)
        for i in k.astype(float)
    ]
    logs = task.guide.source.expected_logs(own)[:, 0]
    means = [float(batch.outcomes[:, 0] @ logs) for batch in batches]
    variances = [whole.variance(batch, prior, own) for batch in batches]
    objective = Subsampled(whole, size)
    wanted = total_variance(p, means, variances)
    assert objective.variance(task, prior, own) == pytest.approx(wanted, rel=1e-10)
    noises = [whole.gradient_noise(batch, PRIOR, own) for batch in batches]
    by_prior, by_own = objective.gradient_variance(task, PRIOR, own)
    wanted = total_variance(
        p, [x.prior_mean[:, 0] for x in noises], [x.prior_variance[:, 0] for x in noises]
    )
    np.testing.assert_allclose(by_prior, wanted, rtol=1e-9, atol=1e-25)
    wanted = total_variance(p, [x.own_mean for x in noises], [x.own_variance for x in noises])
    np.testing.assert_allclose(by_own, wanted, rtol=1e-9)


class Preset:
    """A generator whose batches are known."""

    def __init__(self, batches):
        self.batches = list(batches)

    def hypergeometric(self, successes, failures, size, particles):
        assert (successes, failures) == (3, 6)
        return np.array([self.batches.pop(0) for _ in range(particles)])

    def choice(self, total, size, replace, shuffle):
        assert (replace, shuffle) == (False, False)
        assert total == SEVERAL.num_latents
        return np.array(self.batches.pop(0))


@pytest.mark.parametrize("name", ["delta", "laplace"])
def test_a_step_of_batches_is_the_mean_of_its_particles(name):
    """Of points: each member of a batch counts as often as it stands for others."""
    task, own = Task(guides.find(name), SEVERAL), KINDS["delta"]
    batches = [(0, 3), (1, 2), (3, 4)]
    step = Subsampled(Trace(), 2).step(task, PRIOR, own, 3, Preset(batches))
    noise, entries = Trace().gradient_noise(task, PRIOR, own), task.entry_of_latent
    members = np.array([np.bincount(entries[list(x)], minlength=5) for x in batches])
    share = SEVERAL.num_latents / 2 * members.mean(axis=0)
    np.testing.assert_allclose(step.prior, noise.prior_mean @ share, rtol=1e-12)
    np.testing.assert_allclose(step.params, noise.own_mean * share, rtol=1e-12, atol=1e-14)
    assert step.value == pytest.approx(latent_values(task, er.Beta(*PRIOR), own) @ share, rel=1e-12)


@pytest.mark.parametrize("name", ["delta", "laplace", "none"])
def test_a_step_of_batches_of_observations(name):
    """Linear in the successes: the mean of the particles is a step at their mean."""
    counts, own = er.Counts.shared(TRIALS, 1), np.array([[0.4]])
    task = Task(guides.find(name), counts)
    step = Subsampled(Trace(), 4).step(task, PRIOR, own, 3, Preset([1, 0, 3]))
    k = 9 / 4 * np.mean([1, 0, 3])
    batch = Batch(task, np.zeros(1, dtype=np.intp), np.array([[k], [9 - k]]), 1.0)
    wanted = Trace().step(batch, PRIOR, own, 1, None)
    rest = Trace().rest(batch, er.Beta(*PRIOR), own[:, None])[0]
    np.testing.assert_allclose(step.prior, wanted.prior, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(step.params, wanted.params, rtol=1e-12)
    assert step.value == pytest.approx(wanted.value + rest, rel=1e-12)


@pytest.mark.parametrize(("counts", "particles"), [(SEVERAL, 2 * 10**6 + 1), (None, 10**7 + 1)])
def test_draws_of_batches_are_counted(counts, particles):
    """Of latents each member is drawn; of observations one latent for each particle."""
    counts = er.Counts.shared(TRIALS, 1) if counts is None else counts
    draws = particles * (5 if counts is SEVERAL else 1)
    with pytest.raises(ValueError, match=f"^{draws} draws a step, more than 10000000$"):
        Subsampled(Trace(), 5).prepare(Task(guides.find("delta"), counts), particles)


def test_the_noise_of_a_score_function():
    """f is with its constants; by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    z, w = nodes[:, None] + np.zeros(3), (weights / weights.sum())[:, None]
    f = given_draws(PRIOR, OWN, z)
    for baseline in (0.0, -2.5):
        objective = objectives.find(er.ScoreFunction(baseline=baseline))
        noise = objective.gradient_noise(Task(guides.find("normal"), COUNTS), PRIOR, OWN)
        rows = (f - baseline) * np.array([z, z * z - 1]) / OWN[1]
        mean = (w * rows).sum(axis=1)
        np.testing.assert_allclose(noise.own_mean, mean, rtol=1e-6)
        np.testing.assert_allclose(
            noise.own_variance, (w * (rows - mean[:, None]) ** 2).sum(axis=1), rtol=1e-6
        )
        assert objective.divisible
    assert not objectives.find(er.ScoreFunction(baseline=LEAVE_ONE_OUT)).divisible


def test_the_mean_of_the_gradient_of_mean_field():
    objective, own = objectives.find("trace_mean_field"), PRIOR + 0.8 * ROWS
    task = Task(objective.adapted(guides.find("beta")), COUNTS)
    noise = objective.gradient_noise(task, PRIOR, own)
    by_prior, by_guide = er.elbo_gradient(er.Beta(*own), er.Beta(*PRIOR[:, 0]), COUNTS)
    np.testing.assert_allclose(noise.prior_mean.sum(axis=1), by_prior, atol=2e-6)
    np.testing.assert_allclose(noise.own_mean, by_guide, atol=2e-6)


@pytest.mark.parametrize("guide", [er.Beta(2.0, 3e5), er.Beta(1e-12, 1.0)])
def test_the_variance_of_gradients_of_extreme_guides(guide):
    """Nothing is said of what underflows."""
    with np.errstate(all="raise"):
        found = er.gradient_variance(guide, er.Beta(1.0, 1.0), er.Counts(3, 10))
    assert np.isfinite(found.best_baseline.variance).all()


def test_the_exact_step_draws_nothing():
    task = Task(guides.find("beta"), SEVERAL)
    assert Exact().step(task, PRIOR, KINDS["beta"], 3, None).value == 0.0


def test_a_prior_of_one_entry_is_one_prior():
    guide, one, counts = er.Beta(2.0, 3.0), er.Beta([1.5], [2.5]), er.Counts(3, 10)
    wanted = er.renyi_bound(guide, er.Beta(1.5, 2.5), counts, num_samples=1)
    assert er.renyi_bound(guide, one, counts, num_samples=1) == wanted


def test_equal_entries_are_joined_whatever_axes_stand_before():
    counts = er.Counts([3, 0] * 60, [10, 4] * 60)
    task = Task(guides.find("beta"), counts)
    columns = np.ones((2, 3, 1)), np.tile(np.arange(2.0), (3, 60))
    pooled = task.pooled(*columns)
    assert [x.shape for x in pooled[1]] == [(2, 3, 1), (3, 2)]
    np.testing.assert_array_equal(pooled[1][1][:, pooled[2]], columns[1])
    deep = np.tile(np.arange(2.0), (2, 3, 60))
    several = Task(guides.find("beta"), counts).pooled(deep)
    assert several[1][0].shape == (2, 3, 2)
    np.testing.assert_array_equal(several[1][0][..., several[2]], deep)


def test_a_renyi_bound_whose_quadrature_does_not_settle(monkeypatch):
    """Its last two values are extrapolated: as the error falls with the square of the steps."""
    guide, prior, counts = er.Beta(2.0, 3.0), er.Beta(1.0, 1.0), er.Counts(3, 10)
    exact, elbo = er.renyi_bound(guide, prior, counts, alpha=-1.0), er.elbo(guide, prior, counts)
    task, p, own = checked_task(guide, prior, counts)
    above = [RenyiBound(-1.0, 2).above_elbo(task, p, own, steps).value for steps in (24, 48)]
    monkeypatch.setattr(renyi, "_STEPS", (24, 48))
    got = er.renyi_bound(guide, prior, counts, alpha=-1.0)
    assert got == pytest.approx(elbo + above[1] + (above[1] - above[0]) / 3, rel=1e-12)
    assert got == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("alpha", few([0.5, 0.0, -1.0]))
def test_a_renyi_bound_of_two_samples(alpha):
    """Its mean and variance by Gauss-Hermite quadrature over both draws."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(48)
    z, w = nodes[:, None] + np.zeros(3), weights / weights.sum()
    f = given_draws(PRIOR, OWN, z) * (1 - alpha)
    bound = np.logaddexp(f[:, None], f) - np.log(2)
    pair = w[:, None] * w
    mean = np.einsum("ij,ijg->g", pair, bound / (1 - alpha))
    square = np.einsum("ij,ijg->g", pair, (bound / (1 - alpha) - mean) ** 2)
    guide, prior = er.LogitNormal(*OWN), er.Beta(*PRIOR[:, 0])
    got = er.renyi_bound(guide, prior, COUNTS, alpha=alpha, num_samples=2)
    assert got == pytest.approx(mean.sum(), rel=1e-8)
    task, objective = Task(guides.find("normal"), COUNTS), RenyiBound(alpha, 2)
    np.testing.assert_allclose(objective.latent_variances(task, prior, OWN), square, rtol=1e-6)
    assert objective.variance(task, prior, OWN) == pytest.approx(square.sum(), rel=1e-6)
    one = RenyiBound(alpha, 1).latent_variances(task, prior, OWN)
    np.testing.assert_allclose(one, Trace().latent_variances(task, prior, OWN), rtol=1e-14)
    assert RenyiBound(alpha, 3).variance(task, prior, OWN) is None


@pytest.mark.parametrize("alpha", [0.0, 0.6])
@pytest.mark.parametrize(
    ("name", "own"), [("beta", [[2.5, 1.8], [3.0, 4.2]]), ("tied", np.zeros((0, 2)))]
)
def test_the_gradient_of_a_bound_above_the_elbo(name, own, alpha):
    """By central differences of its height, to the error of the quadrature."""
    task, own, loss = Task(guides.find(name), TWO), np.array(own), RenyiBound(alpha, 2)

    def height(prior, params):
        return loss.above_elbo(task, prior, params, 96).value

    step, h = loss.above_elbo(task, PRIOR, own, 96), 1e-4
    for got, at in ((step.prior, 0), (step.params, 1)):
        for place in np.ndindex((PRIOR, own)[at].shape):
            move = [np.zeros_like(PRIOR), np.zeros_like(own)]
            move[at][place] = h
            up, down = (
                height(PRIOR + move[0], own + move[1]),
                height(PRIOR - move[0], own - move[1]),
            )
            assert np.ravel(got)[np.ravel_multi_index(place, (PRIOR, own)[at].shape)] == (
                pytest.approx((up - down) / (2 * h), abs=1e-4)
            )
