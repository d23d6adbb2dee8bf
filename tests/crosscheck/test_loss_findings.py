"""Findings on losses: what they say, and how far apart they may be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er
from elbo_ref.crosscheck.alignment import AlignedLosses, Losses
from elbo_ref.crosscheck.distribution import expected_losses, loss_distribution
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.hypothesis_test import Explanation, HypothesisReport
from elbo_ref.crosscheck.loss_findings import (
    Explained,
    _mistaken,
    _says_nothing,
    compared,
    explain,
    impossible_losses,
    with_particles_of_run,
)
from elbo_ref.crosscheck.model_test import ModelTest
from elbo_ref.crosscheck.variants import Hypothesis
from elbo_ref.objectives import RenyiBound
from loss_models import COUNTS, OWN, PRIOR, elbo_losses, model_of

SIZE = 30


def aligned(model, values, *, allowance=0.0, kind="losses", labels=None, paired=0):
    values = np.asarray(values, float)
    labels = labels or tuple(f"loss of step {t}" for t in range(values.size))
    losses = Losses(values, np.zeros(values.size), np.full(values.size, allowance))
    return AlignedLosses(model, losses, kind, labels, paired)


def points(steps=SIZE, **fields):
    given = model_of("delta", steps=steps, **fields)
    given.guide_parameters[:] += np.linspace(0, 1, steps)[:, None]
    return given


def explained(model, values, **options):
    return explain(aligned(model, values, **options), 0)


def drawn(seed=1, **changes):
    return elbo_losses(np.random.default_rng(seed), SIZE, **changes)


def moving(steps=SIZE):
    given = model_of(steps=steps)
    given.guide_parameters[:] *= np.exp(0.3 * np.sin(np.arange(steps)))[:, None]
    return given


def moving_losses(given, rng):
    c = rng.beta(*given.guide_parameters)
    f = stats.binom.logpmf(COUNTS.successes, COUNTS.total_count, c)
    rest = stats.beta.logpdf(c, *PRIOR) - stats.beta.logpdf(c, *given.guide_parameters)
    return -(f + rest).sum(axis=1)


def test_losses_that_agree():
    """Their mean, weighted by precision, within 3.15 of its standard errors."""
    model, values = moving(), moving_losses(moving(), np.random.default_rng(1))
    found = explained(model, values)
    (one,) = found.findings
    law = loss_distribution(model, np.random.default_rng(0))[0]
    weights = 1 / law.variance
    assert (one.name, one.status) == ("losses", "agrees")
    assert one.theirs == pytest.approx(np.average(values, weights=weights), rel=1e-6)
    assert one.ours == pytest.approx(np.average(law.mean, weights=weights), rel=1e-6)
    assert one.allowance == pytest.approx(3.15 / np.sqrt(weights.sum()), rel=1e-4)
    assert one.quantity == "mean of 30 losses, weighted by precision"
    assert "1% for the run" in one.reason
    assert found.report.ruled_out and not found.report.rejected
    single = explained(model.at(slice(0, 1)), values[:1])
    assert single.findings[0].quantity == "loss of step 0"


def test_losses_that_would_agree_whatever_they_were():
    """Where an allowance is more than the loss and a nat; then nothing is ruled out."""
    model = points(3)
    worth = 1 + np.abs(expected_losses(model)).max()
    least = 1 + np.abs(expected_losses(model)).min()
    (one,) = explained(model, expected_losses(model), allowance=0.9 * least).findings
    assert one.status == "agrees"
    found = explained(model, expected_losses(model), allowance=1.2 * worth)
    (one,) = found.findings
    assert one.status == "untested" and found.report.ruled_out == ()
    assert (
        "the losses (the optimizer's step after the last one may have changed it by" in one.quantity
    )
    assert f"{1.2 * worth:.5g} nats" in one.quantity


def test_losses_in_which_rounding_is_all():
    """In float32, of huge counts."""
    counts = er.Counts([3 * 10**9], [10**10])
    own = np.array([[np.log(3 / 7)]])
    model = model_of("delta", counts, own, (2.0, 3.0), dtype="float32")
    (one,) = explained(model, expected_losses(model)).findings
    assert (
        one.status == "untested" and "rounding of their terms in float32 may move" in one.quantity
    )


def test_a_mistake_that_is_certain():
    """Named, beside the loss that departs most and the mean that fits with it."""
    values = -drawn()
    found = explained(model_of(steps=SIZE), values)
    mistake, fitting = found.findings
    assert (mistake.name, mistake.status) == ("wrong_sign", "mistake")
    assert mistake.quantity.startswith("times -1; as given, loss of step ")
    step = int(mistake.quantity.split("step ")[1].split()[0])
    law = loss_distribution(model_of(), np.random.default_rng(0))[0]
    assert mistake.theirs == values[step] and mistake.ours == pytest.approx(law.mean[0])
    assert abs(values[step] - law.mean[0]) == pytest.approx(np.abs(values - law.mean[0]).max())
    assert mistake.allowance == pytest.approx(3.15 * law.variance[0] ** 0.5, rel=1e-6)
    assert (fitting.name, fitting.status) == ("with_mistake", "note")
    assert fitting.theirs == pytest.approx(values.mean())
    assert fitting.ours == pytest.approx(-law.mean[0])
    assert (
        fitting.reason.startswith("so they fit, p = ") and "as given they do not" in fitting.reason
    )


def reported(model, values, meant, **hypothesis):
    """A report of losses that one other model explains, without a doubt."""
    given, other = (
        ModelTest(x, Losses(values, np.zeros(values.size)), np.random.default_rng(0))
        for x in (model, meant)
    )
    found = Explanation(Hypothesis("so", meant, **hypothesis), other, 0.99)
    return HypothesisReport(given, True, 1e-9, (found,), (), 2.5, 0.25)


def test_a_constant_is_told_with_its_error():
    """Three times its standard error."""
    model, values = moving(), moving_losses(moving(), np.random.default_rng(1)) + 2.5
    report = reported(
        model, values, model._replace(constant=2.5), name="unexplained_constant", number="constant"
    )
    mistake, constant = _mistaken(aligned(model, values), report)
    assert (mistake.name, mistake.status) == ("unexplained_constant", "mistake")
    assert (constant.name, constant.quantity) == ("constant", "what is added to every loss")
    assert (constant.theirs, constant.ours, constant.allowance) == (2.5, 0.0, 3.15 * 0.25)
    assert constant.status == "note"


def test_a_mistake_that_is_not_known():
    """Without a name: what is possible, the mean, and that not all can be tried."""
    model = points()
    values = expected_losses(model) + np.linspace(-3, 5, SIZE) ** 3
    nameless, mean, untried = explained(model, values, allowance=1e-6).findings
    assert (nameless.name, nameless.status, nameless.rivals) == ("loss_mismatch", "mistake", ())
    assert nameless.reason.startswith("p < 1e-12") and "possible" not in nameless.reason
    assert (mean.name, mean.status) == ("losses", "note")
    assert (untried.name, untried.status) == ("tried", "note")


@pytest.mark.thorough
@pytest.mark.parametrize(("share", "told"), [(0.996, False), (1.004, True)])
def test_losses_of_a_point_that_vary_may_be_of_another_guide(share, told):
    """A hundred times as much as they may be off, at one set of parameters."""
    model = model_of("delta", steps=SIZE)
    values = expected_losses(model) + np.sqrt(2) + share * 1e-4 * np.linspace(0, 1, SIZE) ** 3
    nameless, *_ = explained(model, values, allowance=1e-6).findings
    assert nameless.name == "loss_mismatch"
    assert ("another_guide" in nameless.rivals) is told


@pytest.mark.thorough
def test_losses_within_three_deviations_have_no_allowance():
    """Together they cannot be, though each may."""
    values = drawn() * 0 + drawn().mean() + 1.0 + 1e-3 * np.arange(SIZE)
    findings = explained(model_of(steps=SIZE), values).findings
    assert findings[0].status == "mistake" and findings[0].allowance is None


def test_another_meaning_is_no_mistake():
    values = drawn() + COUNTS.log_coefficient.sum()
    found = explained(model_of(steps=SIZE), values)
    meaning, mean = found.findings
    assert (meaning.name, meaning.status) == ("meaning", "note")
    assert meaning.quantity.startswith("the losses are those of single trials")
    assert not found.aligned.model.coefficients and mean.status == "agrees"
    assert mean.theirs == pytest.approx(values.mean()) and mean.ours == pytest.approx(
        values.mean(), abs=1
    )
    beside = compared(found)
    assert beside.mistake == "" and beside.mean[0] == pytest.approx(mean.ours)


def test_another_meaning_of_some_losses_is_that_of_all():
    """The marginal likelihood, whose guide is another, for three hundred losses."""
    model = model_of("empty", steps=300)
    evidence = er.log_evidence(er.Beta(*PRIOR), COUNTS)
    found = explained(model, np.full(300, -evidence))
    assert found.findings[0].name == "meaning" and "BetaBinomial" in found.findings[0].quantity
    taken = found.aligned.model
    assert taken.guide.name == "conjugate" and taken.guide_parameters.shape == (2, 300, 3)
    assert taken.prior is model.prior


@pytest.mark.thorough
def test_a_history_recorded_after_each_step():
    model = points()
    values = np.r_[9.0, expected_losses(model)[:-1]]
    found = explained(model, values, paired=SIZE)
    after, mean = found.findings
    assert (after.name, after.status) == ("recorded_after", "note") and mean.status == "agrees"
    assert found.aligned.losses.values.size == SIZE - 1
    assert explained(model, values).findings[0].status == "mistake"


EVALUATIONS = tuple(f"evaluation {t}" for t in range(SIZE))


@pytest.mark.thorough
def test_evaluations_that_agree_beside_losses_that_do_not():
    """The losses are judged by themselves, and the evaluations are a finding of their own."""
    good, bad = drawn(3)[:10], -drawn(4)[:10]
    labels = (*(f"loss of step {t}" for t in range(10)), *EVALUATIONS[:10])
    model = model_of(steps=20)
    found = explained(model, np.r_[bad, good], labels=labels)
    assert [x.status for x in found.findings][:: len(found.findings) - 1] == ["mistake", "agrees"]
    assert found.findings[-1].name == "evaluations"
    assert found.aligned.losses.values.size == 10
    both = explained(model, np.r_[bad, 40 + 9 * good], labels=labels)
    assert both.aligned.losses.values.size == 20
    assert all(x.status != "agrees" for x in both.findings)


@pytest.mark.thorough
def test_losses_beside_their_distributions():
    values = -drawn()
    model = model_of(steps=SIZE)
    found = compared(explained(model, values))
    law = loss_distribution(model, np.random.default_rng(0))[0]
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_allclose(found.mean, law.mean)
    np.testing.assert_allclose(found.std, np.sqrt(law.variance), rtol=1e-6)
    assert found.mistake == "wrong_sign" and found.labels[0] == "loss of step 0"
    np.testing.assert_allclose(found.mistaken_mean, -law.mean)
    right = compared(explained(model, drawn(), allowance=3.0))
    assert right.mistake == "" and right.mistaken_mean is None
    np.testing.assert_allclose(right.std, np.sqrt(law.variance + 9.0), rtol=1e-6)


@pytest.mark.thorough
def test_of_many_losses_some_are_compared():
    """Two hundred of a thousand, evenly spread, with their labels."""
    rng = np.random.default_rng(5)
    values = -elbo_losses(rng, 1000)
    model = model_of(steps=1000)
    found = compared(explained(model, values))
    rows = np.linspace(0, 999, 200).astype(int)
    np.testing.assert_array_equal(found.values, values[rows])
    assert found.labels == tuple(f"loss of step {t}" for t in rows)
    assert found.mean.size == found.mistaken_mean.size == 200


def averaged(name="wrong_num_particles", kind="evaluation"):
    """Evaluations of thirty particles that are taken for one's, as a report has them."""
    model, values = model_of(steps=SIZE), drawn(6, particles=30)
    meant = model._replace(num_particles=30)
    labels = tuple(f"{kind} {t}" for t in range(SIZE))
    given = aligned(model, values, kind=f"{kind}s", labels=labels)
    report = reported(model, values, meant, name=name)
    return Explained(given, report, _mistaken(given, report))


def alternating(ratio, size=80):
    """Losses whose late steps vary so much, beside one particle's variance."""
    variance = loss_distribution(model_of(), np.random.default_rng(0))[0].variance[0]
    late = np.where(np.arange(size) % 2, 0.5, -0.5)[-(size // 4) :]
    late = late * np.sqrt(ratio * variance * 2 / np.var(np.diff(late)))
    return np.r_[np.zeros(size - late.size), late]


def test_evaluations_of_another_number_of_particles():
    """No mistake if the run's own losses vary as one particle lets them, within two and a half."""
    found = averaged()
    assert found.findings[0].name == "wrong_num_particles"
    note, mean = with_particles_of_run(found, model_of(), alternating(1.0)).findings
    assert (note.name, note.status) == ("meaning", "note") and "(so)" in note.quantity
    assert (mean.name, mean.status) == ("evaluations", "agrees")
    law = loss_distribution(model_of(particles=30), np.random.default_rng(0))[0]
    assert mean.ours == pytest.approx(law.mean[0])
    assert mean.allowance == pytest.approx(3.15 * np.sqrt(law.variance[0] / SIZE), rel=1e-6)
    for ratio, size, same in (
        (0.41, 80, False), (0.39, 80, True), (2.4, 80, False), (2.6, 80, True), (1.0, 79, True)
    ):  # fmt: skip
        again = with_particles_of_run(found, model_of(), alternating(ratio, size))
        assert (again is found) is same, (ratio, size)


def test_what_is_none_of_evaluations():
    """Another mistake, the losses themselves, a history, or nothing that is certain."""
    own = alternating(1.0)
    for found in (averaged("wrong_sign"), averaged(kind="loss of step")):
        assert with_particles_of_run(found, model_of(), own) is found
    found = averaged()
    assert with_particles_of_run(found, model_of(steps=2), own) is found
    open_one = found._replace(report=found.report._replace(explanations=()))
    assert with_particles_of_run(open_one, model_of(), own) is open_one


def test_the_least_of_an_allowance_is_a_loss_and_a_nat():
    """Of a loss with an expected value of ten: eleven nats, by the step or by rounding."""
    model, values = model_of(steps=2), np.array([10.0, 10.0])
    finding = Finding("losses", "", 10.0, 10.0)
    for allowance, of_step, said in ((10.9, 0.0, ""), (11.1, 2.0, "rounding"), (11.1, 8.0, "step")):
        given = aligned(model, values, allowance=of_step)
        test = ModelTest(model, given.losses, np.random.default_rng(0))
        test.allowance = np.array([99.0, allowance])
        why = _says_nothing(given, finding, test)
        assert (why == "") == (said == "") and said in why
        if said == "rounding":
            assert "by 9.1 nats" in why and "float64" in why and "the 11 nats" in why
        if said == "step":
            assert "changed it by 8 nats" in why


def test_impossible_losses():
    """The mean of the later half below minus the supremum of the evidence, by six errors."""
    lowest = -er.maximize_evidence(COUNTS).log_evidence
    model = model_of()
    pattern = np.where(np.arange(40) % 2, 0.3, -0.3)
    noise = np.std(np.diff(pattern[20:])) / np.sqrt(2)
    allowance = 6 * noise / np.sqrt(20) + 1e-3 * (1 + abs(lowest))
    for factor, some in ((1.01, True), (0.99, False)):
        losses = np.r_[np.full(20, 99.0), (lowest - factor * allowance + pattern)[20:]]
        found = impossible_losses(model, losses)
        assert bool(found) is some
        for x in found:
            assert (x.name, x.status) == ("loss_mismatch", "mistake")
            assert x.ours == pytest.approx(lowest) and x.allowance == pytest.approx(allowance)
            assert x.theirs == pytest.approx(losses[20:].mean())
    far = np.full(20, lowest - 9.0)
    assert impossible_losses(model, far) and not impossible_losses(model, far[:19])
    for guide in ("delta", "empty", "none", "conjugate"):
        own = np.zeros((0, 3)) if guide == "conjugate" else OWN[guide]
        assert impossible_losses(model_of(guide, own=own), far) == []
    assert impossible_losses(model_of("tied"), far)
    assert impossible_losses(model_of("normal"), far) == [], "its clamped draws are not counted"


def test_losses_of_rows_are_bounded_by_the_totals():
    """Whatever their coefficients are counted as."""
    shared = er.Counts.shared([3, 7, 2], [10, 9, 6])
    model = model_of(counts=shared, own=[[4.0], [8.0]])
    split = float(shared.log_split.sum())
    lowest = split - er.maximize_evidence(shared).log_evidence
    assert impossible_losses(model, np.full(20, lowest - 0.1 - 1e-3 * abs(lowest)))
    assert not impossible_losses(model, np.full(20, lowest - 0.9e-3 * (1 + abs(lowest))))


def test_clamped_draws_bound_nothing():
    low = model_of(own=[[1e-3] * 3, [5.0] * 3], dtype="float32")
    far = np.full(20, -99.0)
    assert impossible_losses(low, far) == [] and impossible_losses(model_of(), far)


def saturated(dtype="float32", steps=SIZE, **fields):
    own = [[0.02, 8.0, 3.0], [8.0, 3.0, 6.0]]
    return model_of(own=own, dtype=dtype, steps=steps, **fields)


def test_clamped_draws():
    """A mistake of float32 where losses show them, else a note; none of other draws."""
    model = saturated()
    law = loss_distribution(model, np.random.default_rng(0))[0]
    rng = np.random.default_rng(8)
    c = np.maximum(rng.beta(*np.array(model.guide_parameters[:, 0]), (SIZE, 3)), 0)
    tiny = np.finfo("float32").tiny
    c = np.clip(c.astype("float32"), tiny, 1 - 2.0**-24).astype(float)
    f = stats.binom.logpmf(COUNTS.successes, COUNTS.total_count, np.clip(c, 2.0**-23, 1 - 2.0**-23))
    rest = stats.beta.logpdf(c, *PRIOR) - stats.beta.logpdf(c, *model.guide_parameters[:, 0])
    values = -(f + rest).sum(axis=1)
    found = explained(model, values).findings
    assert found[0].status == "agrees"
    one = found[-1]
    assert one.name == "float32_saturation" and "draws of c are clamped at the ends" in one.quantity
    assert one.status in ("mistake", "note")
    assert (one.status == "note") == ("does not show" in one.quantity)
    assert law.mean.size == SIZE
    assert len(explained(model_of(steps=SIZE), drawn()).findings) == 1


def test_a_bound_is_no_elbo():
    far = np.full(20, -99.0)
    assert impossible_losses(model_of(loss=RenyiBound(0.0, 2)), far)
