"""The members of a source, for each of the three: identities between them, differences, draws."""

import numpy as np
import pytest
from scipy import special

import elbo_ref as er
import oracles
from elbo_ref.distributions.base import Source
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.distributions.logit_normal import LOGIT_NORMAL
from elbo_ref.distributions.point import POINT

PARAMETERS = {
    BETA: np.array([[0.7, 4.0, 30.0], [2.0, 1.5, 11.0]]),
    LOGIT_NORMAL: np.array([[-1.0, 0.3, 4.0], [0.4, 1.5, 5.0]]),
    POINT: np.array([[-1.0, 0.3, 4.0]]),
}
TILT = np.array([[3.0, -1.0, 2.0], [1.0, 4.0, 0.5]])
EACH = pytest.mark.parametrize("source", PARAMETERS, ids=lambda source: type(source).__name__)
DRAWN = pytest.mark.parametrize("source", [BETA, LOGIT_NORMAL], ids=["beta", "logit_normal"])


def exponents(source, x):
    return x if source.has_exponents else np.zeros((2, 1))


def slopes(function, x, h=1e-5):
    """Fourth-order differences of a function of columns by each row of parameters."""
    rows = []
    for i in range(len(x)):
        shift = np.zeros_like(x)
        shift[i] = h * np.maximum(np.abs(x[i]), 0.1)
        near, far = (function(x + n * shift) - function(x - n * shift) for n in (1, 2))
        rows.append((8 * near - far) / (12 * shift[i]))
    return np.array(rows)


@EACH
def test_a_source_has_the_members_of_the_protocol_and_these_are_thirteen(source):
    members = {name for name in vars(Source) if not name.startswith("_")}
    assert len(members) == 13
    assert members == {name for name in dir(source) if not name.startswith("_")}
    assert len(source.names) == len(PARAMETERS[source])


@EACH
def test_the_center_the_gaps_and_the_remainder(source):
    x = PARAMETERS[source]
    center = source.center(x)
    logs = np.log(center.pair)
    np.testing.assert_allclose(sum(center.pair), 1.0, rtol=1e-15)
    np.testing.assert_allclose(logs - center.log_gaps, source.expected_logs(x), rtol=1e-12)
    np.testing.assert_allclose(center.log_jacobian(), logs.sum(axis=0), rtol=1e-13)
    remainder = source.log_normalizer(x) - (exponents(source, x) * logs).sum(axis=0)
    np.testing.assert_allclose(center.remainder + np.zeros(3), remainder, rtol=1e-10, atol=1e-13)
    k, f = np.array([3, 0, 7]), np.array([1, 4, 0])
    wanted = k * center.pair[1] - f * center.pair[0]
    np.testing.assert_allclose(center.difference(k, f), wanted, rtol=1e-12, atol=1e-14)


@EACH
def test_pull_back_is_the_slope_of_the_expectation(source):
    x = PARAMETERS[source]
    wanted = slopes(lambda x: (TILT * source.expected_logs(x)).sum(axis=0), x)
    np.testing.assert_allclose(source.pull_back(TILT, x)[0], wanted, rtol=1e-7, atol=1e-9)


def log_density(source, y, x):
    """Log density of the logit, (..., G)."""
    logs = special.log_expit(np.array((y, -y)))
    residual = source.residual(y, x)
    powers = (exponents(source, x)[:, None] * logs).sum(axis=0)
    return powers - (0.0 if residual is None else residual) - source.log_normalizer(x)


@DRAWN
def test_the_density_of_a_logit_has_mass_one(source):
    y = np.linspace(-80.0, 80.0, 8001)[:, None]
    density = np.exp(log_density(source, y, PARAMETERS[source]))
    np.testing.assert_allclose(0.02 * density.sum(axis=0), 1.0, rtol=1e-11)


@DRAWN
def test_the_score_is_the_slope_of_the_log_density(source):
    x = PARAMETERS[source]
    y = np.random.default_rng(0).normal(size=(4, 3))
    logs = special.log_expit(np.array((y, -y)))

    def one(p):
        return slopes(lambda x: log_density(source, y, x)[p], x)

    np.testing.assert_allclose(
        source.score(y, logs, x),
        np.array([one(p) for p in range(4)]).swapaxes(0, 1),
        rtol=1e-6,
        atol=1e-7,
    )


@DRAWN
def test_draws_have_the_moments_that_are_stated(source):
    """20,000 draws, |z| < 5 (6e-7 each): logarithms, variance (E5), score, and (E6) in the mean."""
    x, rng = PARAMETERS[source], np.random.default_rng(3)
    y = source.sample_logits(x, (20_000, 3), rng)
    logs = special.log_expit(np.array((y, -y)))
    for row, wanted in zip(logs, source.expected_logs(x), strict=True):
        assert oracles.mean_scores(row, wanted).max() < 5
    residual = source.residual(y, x)
    form = (TILT[:, None] * logs).sum(axis=0) + (0.0 if residual is None else 2 * residual)
    assert oracles.variance_scores(form, source.variance(TILT, x, 2.0)).max() < 5
    if residual is None:
        np.testing.assert_array_equal(source.variance(TILT, x), source.variance(TILT, x, 2.0))
    else:
        alone = form - 2 * residual
        assert oracles.variance_scores(alone, source.variance(TILT, x)).max() < 5
    scores = source.score(y, logs, x)
    away = scores.mean(axis=1) / (scores.std(axis=1) / np.sqrt(20_000))
    assert np.abs(away).max() < 5
    slope = TILT[0] * special.expit(-y) - TILT[1] * special.expit(y)
    through = slope * source.pathwise(y, x)
    error = through.std(axis=1) / np.sqrt(20_000)
    assert (np.abs(through.mean(axis=1) - source.pull_back(TILT, x)[0]) < 5 * error).all()


@EACH
def test_draws_that_move_come_with_the_expected_logs(source):
    for columns in (1, 3, 100):
        x = np.resize(PARAMETERS[source], (len(source.names), columns))
        y = source.sample_logits(x, (2, columns), np.random.default_rng(0))
        moved, logs = source.pathwise_and_logs(y, x)
        np.testing.assert_allclose(moved, source.pathwise(y, x), rtol=1e-14)
        np.testing.assert_allclose(logs, source.expected_logs(x), rtol=1e-13)


def test_what_a_logit_normal_adds_is_its_residual_s_slope_less_the_score():
    x = PARAMETERS[LOGIT_NORMAL]
    y = np.random.default_rng(1).normal(size=(5, 3))
    z = (y - x[0]) / x[1]
    through = np.array((z, z * z)) / x[1]
    constant = LOGIT_NORMAL.residual_gradient(x)
    score = LOGIT_NORMAL.score(y, None, x)
    np.testing.assert_allclose(through - score, constant[:, None] + np.zeros_like(z), atol=1e-12)


@pytest.mark.parametrize("q", [er.Beta([2.0, 0.4], 3.0), er.LogitNormal([0.3, -2.0], 0.8)])
def test_a_standard_deviation_is_the_root_of_the_variance(q):
    np.testing.assert_allclose(np.square(q.std), q.variance, rtol=1e-14)


def test_a_point_is_itself():
    x = PARAMETERS[POINT]
    assert (POINT.sample_logits(x, (4, 3), None) == x).all()
    assert (POINT.variance(TILT, x) == 0).all() and POINT.residual(x, x) is None
    with pytest.raises(NotImplementedError):
        POINT.score(x, None, x)


def test_many_columns_at_once():
    """From a thousand numbers on sums are taken otherwise; each column is as if alone."""
    rng = np.random.default_rng(8)
    x, tilt = rng.uniform(0.1, 40.0, (2, 2, 600))
    logs, (slopes, others) = BETA.expected_logs(x), BETA.pull_back(tilt, x)
    assert logs.shape == slopes.shape == others.shape == (2, 600)
    for i in (0, 1, 599):
        one = slice(i, i + 1)
        few = BETA.pull_back(tilt[:, one], x[:, one])
        np.testing.assert_allclose(logs[:, one], BETA.expected_logs(x[:, one]), rtol=1e-13)
        np.testing.assert_allclose(slopes[:, one], few[0], rtol=1e-12)
        np.testing.assert_allclose(others[:, one], few[1], rtol=1e-13)
