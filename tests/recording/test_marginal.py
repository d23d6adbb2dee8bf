"""Runs whose likelihood is a BetaBinomial: their losses are minus the log evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats

import elbo_ref as er
from elbo_ref.recording import Recording
from elbo_ref.recording.guide_sites import OutsideError
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.replay.marginal import compare
from elbo_ref.recording.statement import read_statement
from recorded import COUNTS, K, N, site

A, B = np.linspace(2.0, 3.0, 5), np.linspace(5.0, 4.0, 5)


def slopes():
    """Gradients of the loss for both concentrations by differences of SciPy's."""
    h = 1e-5
    return [(_loss(A + x, B + y) - _loss(A - x, B - y)) / (2 * h) for x, y in ((h, 0), (0, h))]


def _loss(a, b):
    return -np.sum([stats.betabinom.logpmf(k, n, a, b) for k, n in zip(K, N, strict=True)], axis=0)


def recording(gradients=None, scale=1.0, **changed):
    """Five steps; the gradients are exact ones."""
    from elbo_ref.evidence import log_evidence_gradient

    exact = -np.array([log_evidence_gradient(er.Beta(*x), COUNTS) for x in zip(A, B, strict=True)])
    sources = {"concentration1": ["a"], "concentration0": ["b"]}
    rows = {"rows": 3, "elements": 3, "observed": True, "scale": scale, "sources": sources}
    values = {"concentration1": A, "concentration0": B}
    made = {
        "losses": scale * _loss(A, B),
        "arguments": {f"model.k.{name}": x[:, None] for name, x in values.items()},
        "argument_gradients": {
            f"model.k.{name}": scale * (exact if gradients is None else gradients)[:, i : i + 1]
            for i, name in enumerate(values)
        },
        "observed": {"k.value": K[None], "k.total_count": N[None]},
        "header": {"sites": [site("model", "k", "BetaBinomial", **rows)]},
    }
    return Recording(**{**made, **changed})


def test_the_model_is_the_marginal_one():
    statement = read_statement(recording())
    assert statement.marginal and statement.data.counts() == COUNTS
    assert (statement.scale, statement.likelihood_weight) == (1.0, 1.0)
    np.testing.assert_array_equal(statement.prior[:, :, 0], (A, B))


def test_what_may_stand_beside_rows_without_a_latent():
    """Computed values and factors, not another latent, nor rows that have one."""
    made = recording()

    def beside(*args, **described):
        sites = [*made.header["sites"], site("model", *args, **described)]
        rows = {"l.value": K[None], "l.total_count": N[None]}
        return read_statement(replace(made.with_observed(rows), header={"sites": sites}))

    assert beside("total", "Delta", observed=True).marginal
    with pytest.raises(OutsideError, match="beside a BetaBinomial the model has d"):
        beside("d", "Gamma")
    with pytest.raises(OutsideError, match="beside a BetaBinomial the model has d"):
        beside("d", "Delta")
    with pytest.raises(OutsideError, match="beside a BetaBinomial the model has others"):
        beside("l", "Binomial", observed=True, rows=3, elements=3, latent="d")


def test_a_clean_run_agrees():
    verdict = replay(recording(), COUNTS)
    assert verdict.genuine, verdict
    assert [x.name for x in verdict.having("agrees")] == ["losses", "gradients", "gradients"]
    assert "draws" not in {x.name for x in verdict.findings}
    assert {x.name for x in verdict.findings} >= {"not_converged"}


def test_the_gradients_are_those_of_differences():
    verdict = replay(recording(np.array(slopes()).T))
    found = [x for x in verdict.findings if "gradient" in x.name]
    for finding in found:  # near, though not to rounding
        assert finding.theirs == pytest.approx(finding.ours, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        (lambda r: {"losses": r.losses + 1e-6}, "loss_mismatch", "loss at step 0"),
        (lambda r: {"losses": -r.losses}, "loss_mismatch", "loss at step 0"),
        (
            lambda r: {
                "argument_gradients": {x: 1.001 * g for x, g in r.argument_gradients.items()}
            },
            "gradient_mismatch",
            "gradient at step 0",
        ),
    ],
)
def test_a_departure_is_a_mistake(change, name, words):
    made = recording()
    verdict = replay(replace(made, **change(made)))
    assert verdict.mistakes == (name,), verdict
    assert verdict.having("mistake")[0].quantity.startswith(words)


def test_rounding_is_none():
    made = recording()
    assert replay(replace(made, losses=made.losses * (1 + 1e-15))).genuine


@pytest.mark.parametrize(
    ("framework", "error", "genuine"),
    [("numpyro", 2e-6, True), ("numpyro", 2e-5, False), ("pyro", 2e-6, False)],
)
def test_jax_has_an_error_of_its_own(framework, error, genuine):
    """``betaln`` of JAX errs by up to 1.2e-6 where an argument is about 8, in float64 too."""
    made = recording()
    header = {**made.header, "framework": framework}
    slopes = {name: x + error for name, x in made.argument_gradients.items()}
    for changed in ({"losses": made.losses + error}, {"argument_gradients": slopes}):
        assert replay(replace(made, header=header, **changed)).genuine is genuine


def test_given_counts_are_compared():
    assert replay(recording(), er.Counts(K, N + 1)).mistakes == ("wrong_total_count",)
    assert replay(recording(), er.Counts(K[::-1], N[::-1])).mistakes == ("permuted_rows",)


def test_a_scaled_loss_is_named_and_its_losses_agree():
    verdict = replay(recording(scale=0.25))
    assert verdict.mistakes == ("normalised_loss",), verdict
    assert {x.name for x in verdict.having("agrees")} == {"losses", "gradients"}


def test_priors_that_differ_are_outside_the_model():
    wide = np.stack([A, A, 2 * A], axis=1)
    made = recording()
    arguments = {**made.arguments, "model.k.concentration1": wide}
    verdict = replay(replace(made, arguments=arguments, argument_gradients={}))
    assert verdict.outcome == "outside_model"
    assert verdict.having("untested")[0].name == "losses"


def room(scale, dtype):
    """Eight roundings of x psi(x) and log Gamma(x) of each term, and of psi(x) and 1."""
    k, n, a, b = K[:, None], N[:, None], A, B
    parts = [a + k, b + n - k, a + b + n, a + 0 * k, b + 0 * k, a + b + 0 * k]
    wide = [*parts, *(x + 0 * parts[0] for x in (k + 1, n - k + 1, n + 1))]
    losses = sum(np.abs(special.gammaln(x)) + x * np.abs(special.psi(x)) for x in wide)
    of_slopes = sum(np.abs(special.psi(x)) + 1 for x in parts)
    unit = 8 * np.finfo(dtype).eps * scale
    return unit * losses.sum(axis=0), unit * of_slopes.sum(axis=0)


@pytest.mark.parametrize("scale", [1.0, 0.25, 3.0])
def test_the_room_for_rounding(scale):
    statement = read_statement(recording(scale=scale))
    found = compare(statement, statement.data)
    losses, of_slopes = room(scale, np.float64)
    for finding, wanted in zip(found, (losses, of_slopes, of_slopes), strict=True):
        assert finding.status == "agrees"
        step = int(finding.quantity.split("step ")[1])
        assert finding.allowance == pytest.approx(wanted[step], rel=1e-12, abs=0.0)


def test_rows_that_change_from_step_to_step():
    """Minibatches: minus the log evidence of the rows that each step has seen, times the scale."""
    rng = np.random.default_rng(0)
    rows = np.array([rng.permutation(3)[:2] for _ in A])
    losses = [
        -1.5 * stats.betabinom.logpmf(K[at], N[at], a, b).sum()
        for at, a, b in zip(rows, A, B, strict=True)
    ]
    made = recording(scale=1.5)
    header = {
        "plates": {"rows": 3},
        "sites": [{**made.header["sites"][0], "rows": 2, "elements": 2, "planned_scale": 1.5}],
    }
    observed = {"k.value": K[rows], "k.total_count": N[rows], "rows.rows": rows}
    seen = replace(made, losses=np.array(losses), observed=observed, header=header)
    statement = read_statement(seen)
    found = compare(statement, statement.data)
    assert (found[0].name, found[0].status) == ("losses", "agrees")
    wrong = replace(seen, losses=seen.losses + [0, 0, 1e-9, 0, 0])
    found = compare(read_statement(wrong), statement.data)
    assert (found[0].name, found[0].quantity) == ("loss_mismatch", "loss at step 2")


def test_a_prior_for_each_row():
    a, b = A[:, None] + np.arange(3), B[:, None] + np.arange(3)
    losses = [-stats.betabinom.logpmf(K, N, *pair).sum() for pair in zip(a, b, strict=True)]
    arguments = {"model.k.concentration1": a, "model.k.concentration0": b}
    gradients = {name: np.zeros((5, 3)) for name in arguments}
    h = 1e-5
    for i, name in enumerate(arguments):
        up, down = (
            stats.betabinom.logpmf(K, N, a + s * h * (i == 0), b + s * h * (i == 1))
            for s in (1, -1)
        )
        gradients[name] = -(up - down) / (2 * h)
    made = recording(losses=np.array(losses), arguments=arguments, argument_gradients=gradients)
    statement = read_statement(made)
    found = compare(statement, statement.data)
    assert found[0].status == "agrees"
    ours = [x.ours for x in found[1:]]
    np.testing.assert_allclose([x.theirs for x in found[1:]], ours, atol=1e-8)


def test_particles_with_rows_of_their_own_are_untested():
    statement = read_statement(recording())
    (finding,) = compare(statement, statement.data._replace(exact=False))
    assert (finding.status, finding.reason) == ("untested", "each particle has rows of its own")


def test_what_is_allowed_for_is_rounding_of_all_terms():
    """Eight eps of log factorials, and of digammas, without their signs, times the scale."""
    found = replay(recording(scale=2.5))
    eps = np.finfo("float64").eps
    sizes = []
    for a, b in zip(A, B, strict=True):
        x = np.array([a + K, b + N - K, a + b + N, a + 0 * K, b + 0 * K, a + b + 0 * K,
                      K + 1.0, N - K + 1.0, N + 1.0])  # fmt: skip
        of_loss = np.abs(special.gammaln(x)) + x * np.abs(special.psi(x))
        sizes.append((of_loss.sum(), (np.abs(special.psi(x[:6])) + 1).sum()))
    of_losses, of_slopes = 8 * eps * 2.5 * np.array(sizes).T
    (losses,) = [x for x in found.having("agrees") if x.name == "losses"]
    gradients = [x for x in found.having("agrees") if x.name == "gradients"]
    assert np.isclose(of_losses, losses.allowance, rtol=1e-9, atol=0).any()
    assert len(gradients) == 2
    assert all(np.isclose(of_slopes, x.allowance, rtol=1e-9, atol=0).any() for x in gradients)


def shifted(at, off, scale=1.0):
    """A run whose losses are off there, and one whose gradients for a concentration are."""
    made = recording(scale=scale)
    name = "model.k.concentration1"
    gradient = np.array(made.argument_gradients[name])
    gradient[at] += off
    losses = np.array(made.losses)
    losses[at] += off
    return (
        replace(made, losses=losses),
        replace(made, argument_gradients={**made.argument_gradients, name: gradient}),
    )


def found_by(made):
    statement = read_statement(made)
    return compare(statement, statement.data)


@pytest.mark.parametrize("step", [1, 3])
def test_the_first_step_that_departs_is_told(step):
    of_losses, of_gradients = (found_by(x) for x in shifted(slice(step, None), 1.0))
    assert of_losses[0].quantity == f"loss at step {step}"
    assert of_gradients[1].quantity == f"gradient at step {step}"
    assert of_gradients[1].name == "gradient_mismatch" and of_losses[0].name == "loss_mismatch"
    assert of_losses[0].reason == "no known mistake gives it"
    agreeing = found_by(shifted(step, 1e-14)[0])[0]
    assert agreeing.quantity == f"all losses, the farthest at step {step}"


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_eight_roundings_of_the_logarithms_that_a_log_probability_is_made_of(scale):
    """Of nine log gammas and their arguments' errors, x psi(x); of the slopes' six digammas."""
    eps = 8 * 2.0**-52 * scale
    a, b = A[2], B[2]
    parts = [a + K, b + N - K, a + b + N, a, b, a + b, K + 1, N - K + 1, N + 1]
    room = sum(np.sum(abs(special.gammaln(x)) + x * abs(special.psi(x)) + 0 * K) for x in parts)
    slope = sum(np.sum(abs(special.psi(x)) + 1 + 0 * K) for x in parts[:6])
    for share, agrees in ((0.7, True), (1.3, False)):
        of_losses, _ = shifted(2, share * eps * room, scale)
        _, of_slopes = shifted(2, share * eps * slope, scale)
        losses, gradients = found_by(of_losses)[0], found_by(of_slopes)[1]
        assert (losses.status == "agrees") is (gradients.status == "agrees") is agrees
        assert losses.allowance == pytest.approx(eps * room, rel=1e-9, abs=0.0)
        assert gradients.allowance == pytest.approx(eps * slope, rel=1e-9, abs=0.0)


def test_the_error_of_jax_is_that_of_two_functions_for_each_row():
    made = recording(scale=2.0)
    jax = replace(made, header={**made.header, "framework": "numpyro"})
    plain, wide = found_by(made), found_by(jax)
    for one, other in zip(plain, wide, strict=True):
        of_rows = 2 * 1.3e-6 * 2.0 * 3
        assert other.allowance - one.allowance == pytest.approx(of_rows, rel=1e-6)
