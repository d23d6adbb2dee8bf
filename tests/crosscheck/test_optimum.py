"""Findings about where parameters stand: each case of a diagnosis, and both sides of each bound."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from scipy import optimize

import elbo_ref as er
from elbo_ref.crosscheck.distribution import expected_losses
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.optimum import (
    Pace,
    decay_findings,
    diagnosed,
    exact_numbers,
    moved_away,
    no_elbo,
    optimum_finding,
    stands_still,
)
from elbo_ref.crosscheck.wording import MAY_BE_NOISE, ON_ITS_WAY
from elbo_ref.guides import GUIDES
from elbo_ref.objectives import OBJECTIVES, RenyiBound
from elbo_ref.optima.optimum import Optimum
from elbo_ref.svi.convergence import NoiseFloor
from loss_models import COUNTS, model_of, point_of, posterior

TOP = -10.0
BEST = Optimum("prior", "exact_posterior", TOP, True, 2.0, 3.0, 0.4, learned=True)
POINT = point_of(rate=0.01)


def seen(case, below, floor=None, optimum=BEST, point=POINT, at_maximum=False, **more):
    """A diagnosis of a point so many nats below the optimum, as `PointDiagnosis` has it."""
    return SimpleNamespace(
        case=case,
        optimum=optimum,
        objective=optimum.value - below,
        shortfall=below,
        floor=floor,
        point=point,
        family=GUIDES[point.guide_name],
        at_maximum=at_maximum,
        distance=more.pop("distance", None),
        **more,
    )


def found(*given, **more):
    return optimum_finding(seen(*given, **more))


def test_no_maximum():
    nowhere = Optimum("nowhere", "scale_unbounded", np.inf, False)
    one = optimum_finding(seen("unbounded", 3.0, optimum=nowhere))
    assert (one.name, one.status, one.of) == ("unbounded", "optimum", "scale_unbounded")
    assert "grows without bound" in one.reason and one.ours is None
    other = Optimum("nowhere", "entropy_unbounded", np.inf, False)
    assert optimum_finding(seen("unbounded", 3.0, optimum=other)).of == ""


def test_a_loss_that_is_no_elbo_of_its_guide():
    """Of a normal guide the mean field loses a term; a guide that is none itself is said so."""
    for guide, loss, said in (
        ("normal", "trace_mean_field", True),
        ("normal", "trace", False),
        ("beta", "trace_mean_field", False),
        ("empty", "trace", False),
    ):
        point = SimpleNamespace(loss=OBJECTIVES[loss])
        one = no_elbo(SimpleNamespace(family=GUIDES[guide], point=point))
        assert [x.name for x in one] == ["no_elbo"] * said


def test_an_optimum_that_is_not_known():
    unknown = Optimum("unknown", "renyi_unknown", np.nan, False)
    one = optimum_finding(seen("unknown", np.nan, optimum=unknown))
    assert (one.name, one.status, one.ours) == ("at_optimum", "untested", None)


def test_a_bound_is_at_least_as_far_below_as_the_evidence_is():
    """Its maximum lies between the highest ELBO, which is told, and the highest log evidence."""
    between = Optimum("unknown", "renyi_between", np.nan, False, numbers=(TOP, TOP + 1.0))

    def one(evidence, optimum=between):
        return optimum_finding(seen("unknown", np.nan, optimum=optimum, log_evidence=evidence))

    far = one(TOP - 3.0)
    assert (far.name, far.status, far.theirs, far.ours) == ("not_converged", "optimum", -13.0, TOP)
    assert far.quantity == "the objective is at least 3 nats below its maximum"
    near = one(TOP - 0.25)
    assert near.status == "untested" and near.reason.startswith("at least 0.25 nats below its max")
    for here in (
        one(TOP - 1e-3),
        one(None),
        one(TOP - 3.0, between._replace(reason="renyi_unknown")),
    ):
        assert here.status == "untested" and "at least" not in here.reason


def test_a_supremum_that_is_not_attained():
    end = Optimum("concentration_to_infinity", "collapse_to_mle", TOP, False, mean=0.25)
    one = optimum_finding(seen("drifting", 2.0, optimum=end))
    assert (one.name, one.status, one.theirs, one.ours) == ("drifting", "optimum", -12.0, TOP)
    assert "2 nats below its supremum, which is not attained (concentration" in one.quantity


def test_arrived():
    one = found("converged", 1e-3)
    assert (one.name, one.status, one.theirs, one.ours) == ("at_optimum", "agrees", TOP - 1e-3, TOP)
    assert one.allowance == 1e-3 and one.reason == "within the allowance counts as there"
    assert one.quantity.startswith("the objective is 0.001 nats below its maximum (Beta(2, 3)")
    assert "over the guide" not in one.quantity
    assert found("converged", -1e-14).quantity.startswith("the objective is 0 nats below")


def test_a_local_maximum():
    one = found("converged", 1.1e-3)
    assert "at a local maximum that is lower" in one.quantity
    assert one.allowance is None and one.status == "agrees"


def test_without_a_prior_that_is_learned_it_is_over_the_guide():
    one = found("converged", 0.0, optimum=BEST._replace(learned=False))
    assert "maximum (over the guide, for the prior Beta(2, 3)" in one.quantity
    latents = BEST._replace(learned=False, location="latents", c=np.array(0.3))
    assert "over the guide" not in found("converged", 0.0, optimum=latents).quantity


SHORT = NoiseFloor(0.2, 0.1)
LOW = NoiseFloor(1e-5, 1e-5)
LONG = NoiseFloor(0.9, 0.6)


def test_not_converged_beside_a_floor():
    """What is allowed is the floor's allowance where that is the larger one."""
    one = found("not_converged", 3.0, SHORT)
    assert (one.name, one.status, one.theirs) == ("not_converged", "optimum", TOP - 3.0)
    assert one.allowance == SHORT.allowance and "noise costs 0.2 nats in the mean" in one.reason
    one = found("not_converged", 3.0, LOW)
    assert one.allowance == 1e-3 and one.reason.endswith(f"costs {LOW.nats:g} nats in the mean")
    one = found("not_converged", 3.0, LONG)
    assert one.allowance == 0.5 and one.reason.startswith("a maximum may lack 0.5 nats; the steps")
    assert one.of == ""
    near = found("not_converged", 0.4, LONG)
    assert near.allowance == 1e-3 and near.reason.startswith("the steps at this learning rate")


def test_at_the_floor():
    one = found("noise_floor", 0.3, SHORT, at_maximum=True)
    assert (one.name, one.status) == ("at_optimum", "agrees")
    assert one.allowance == min(SHORT.allowance, 0.5) and "costs 0.2 nats" in one.reason
    small = NoiseFloor(0.02, 0.02)
    assert found("noise_floor", 0.1, small, at_maximum=True).allowance == small.allowance < 0.5
    one = found("noise_floor", 0.6, SHORT)
    assert (one.name, one.status, one.allowance) == ("noise_floor", "optimum", 0.5)
    assert "no farther than the noise of its gradients may keep it" in one.quantity
    assert one.reason.startswith("a maximum may lack 0.5 nats; at this learning rate")


def test_beyond_twice_the_floor_a_run_may_still_be_on_its_way():
    for nats, far in ((0.125, False), (0.25, False), (0.2500001, True)):
        one = found("noise_floor", nats, NoiseFloor(0.125, 0.1), at_maximum=True)
        assert one.of == (ON_ITS_WAY if far else "")


def test_where_no_rate_was_given_a_usual_one_is_taken():
    """Up to what noise costs at a rate of 0.1, or at which the steps are short enough."""
    at = replace(POINT, rate=None)
    floor = replace(POINT, rate=0.1).floor
    for factor, noise in ((0.99, True), (1.01, False)):
        assert floor.largest < 0.5
        one = found("not_converged", factor * floor.allowance, point=at)
        assert (one.name, one.status, one.allowance) == ("not_converged", "optimum", 1e-3)
        assert one.of == (MAY_BE_NOISE if noise else "")
        how = "no more" if noise else "more"
        assert one.reason.startswith(
            f"{how} than noise costs at a usual learning rate (0.1 at most)"
        )


def test_a_usual_rate_is_one_whose_steps_are_short():
    """Where gradients are noisy it is that at which one direction holds half a nat."""
    at = replace(POINT, rate=None, num_particles=0.1)
    floor = replace(at, rate=0.1).floor
    assert floor.largest > 0.5
    part = 0.5 / floor.largest
    limit = NoiseFloor(part * floor.nats, 0.5).allowance
    for factor, noise in ((0.99, True), (1.01, False)):
        assert found("not_converged", factor * limit, point=at).of == MAY_BE_NOISE * noise


def test_without_a_floor_only_what_is_within_the_allowance_counts():
    """Where the rate is known and still no floor is, and of a run."""
    for point in (POINT, replace(POINT, rate=None, prior=er.Beta(1e-13, 3.0))):
        one = found("not_converged", 1e-2, point=point)
        words = "how far noise keeps these parameters from it is not known"
        assert one.reason == words and one.of == ""


def test_how_much_higher_over_all_priors():
    """Said of a prior that is not learned, or in part, if it is more than a thousandth."""
    held = replace(POINT, learn_prior=False)
    own = BEST._replace(value=er.log_evidence(er.Beta(2.0, 3.0), COUNTS), learned=False)
    highest = er.maximize_evidence(COUNTS).log_evidence
    one = found("converged", 0.0, optimum=own, point=held)
    assert f"; over all priors it would be {highest - own.value:.5g} nats higher" in one.quantity
    for below, said in ((1.1e-3, True), (0.9e-3, False)):
        near = BEST._replace(value=highest - below, learned=False)
        assert (
            "over all priors" in found("converged", 0.0, optimum=near, point=held).quantity
        ) is said
    assert "over all" not in found("converged", 0.0, optimum=own).quantity
    none = replace(held, guide_name="none")
    assert "over all" not in found("converged", 0.0, optimum=own, point=none).quantity
    empty = replace(held, guide_name="empty", guide_parameters=np.zeros((0, 3)))
    one = found("converged", 0.0, optimum=own, point=empty)
    assert "; over all priors it has no maximum" in one.quantity


def test_a_bound_of_several_samples_lies_between():
    """The ELBO is below it and the evidence above, of an ELBO's guide and 0 <= alpha < 1."""

    def said(loss, guide="beta", distance=1.5):
        point = replace(POINT, loss=loss, guide_name=guide)
        return found("not_converged", 2.0, LOW, point=point, distance=distance).quantity

    between = "between 1.5 (by the log evidence of the prior) and 2 (by the ELBO) nats below"
    assert between in said(RenyiBound(0.0, 2)) and between in said(RenyiBound(0.5, 10))
    for loss in (RenyiBound(0.0, 1), RenyiBound(1.5, 2), RenyiBound(-0.5, 2), OBJECTIVES["trace"]):
        assert "the objective is 2 nats" in said(loss), loss
    assert "the objective is 2 nats" in said(RenyiBound(0.0, 2), "delta")
    assert "the objective is 2 nats" in said(RenyiBound(0.0, 2), distance=None)
    assert "between 0 (by" in said(RenyiBound(0.0, 2), distance=-1e-12)


def test_weight_decay():
    (note,) = decay_findings(0.25)
    assert note.status == "note" and "weight decay 0.25" in note.quantity
    assert decay_findings(0.0) == []


AWAY = Finding("not_converged", "", status="optimum")


def test_parameters_that_stand_still():
    """A thousand steps of 1e-5, or all that are left, change a parameter by a hundredth."""
    for rate, falls, still in (
        (1e-5, 1.0, True),
        (1.0005e-5, 1.0, False),
        (1e-3, 0.89, True),  # 1e-3/0.11 is below 0.01
        (1e-3, 0.91, False),
        (1e-3, 0.0, False),
        (1e-3, 1.5, False),
        (1e-6, 1.5, True),
    ):
        assert bool(stands_still(Pace(rate, falls=falls), AWAY)) is still, (rate, falls)
    assert stands_still(Pace(1e-9), AWAY._replace(status="agrees")) == []
    (slow,) = stands_still(Pace(1e-7), AWAY)
    assert slow.quantity == (
        "the learning rate is 1e-07 at the end: the parameters hardly move any more"
    )
    (none,) = stands_still(Pace(0.0, "the longest step"), AWAY)
    assert none.quantity == "the longest step is 0 at the end: the parameters do not move any more"


def moving(size, start=2.0, end=2.0, **fields):
    """A history at the posterior, whose prior goes away from the best one at its last step."""
    given = model_of(steps=size, **fields)
    given.guide_parameters[:] = posterior()[:, None]
    given.prior[1, :, 0] = start
    given.prior[1, -1, 0] = end
    return given


def test_a_run_that_moves_away():
    """The highest of its compared steps lies much more above the end than a maximum may lack."""
    history = moving(20, 3.0, 60.0)
    heights = -expected_losses(history)
    lost = heights.max() - heights[-1]
    assert lost > 2.0
    (note,) = moved_away(history, seen("not_converged", 5.0))
    assert f"{lost:.5g} nats higher at step 0" in note.quantity and note.status == "note"
    assert moved_away(history, seen("converged", 5.0)) == []
    assert moved_away(moving(19, 3.0, 60.0), seen("not_converged", 5.0)) == []
    renyi = history._replace(loss=RenyiBound(0.0, 2))
    assert moved_away(renyi, seen("not_converged", 5.0)) == []


def test_how_much_is_lost_before_it_is_said():
    """Four times half a nat, or four times what the noise floor allows."""
    history = moving(20, 3.0, 60.0)
    heights = -expected_losses(history)
    nats = (heights.max() - heights[-1]) / 4 / NoiseFloor(1.0, 1.0).allowance
    for factor, said in ((0.99, True), (1.01, False)):
        floor = NoiseFloor(factor * nats, factor * nats)
        assert bool(moved_away(history, seen("not_converged", 5.0, floor))) is said


def test_two_nats_are_much():
    """Where there is no floor: four times what a maximum may lack."""

    def lost(end):
        heights = -expected_losses(moving(20, 3.0, end))
        return heights[0] - heights[-1]

    for nats, said in ((1.99, False), (2.01, True)):
        end = optimize.brentq(lambda x, nats=nats: lost(x) - nats, 3.0, 8.0)
        assert bool(moved_away(moving(20, 3.0, end), seen("not_converged", 5.0))) is said


def test_of_a_long_history_some_steps_are_compared():
    """Fifty, evenly spread: of 400 every eighth or so, and so the 32nd."""
    history = moving(400, 9.0, 60.0)
    history.prior[1, 31:34, 0] = (5.0, 4.0, 3.0)
    (note,) = moved_away(history, seen("not_converged", 5.0))
    assert note.quantity.endswith("at step 32")


def test_the_diagnosis_of_the_last_parameters():
    model = model_of(steps=3, particles=4)
    model.prior[:, -1] = 5.0
    model.guide_parameters[:, -1] = 7.0
    point = diagnosed(model, "concentration1", er.Adam(lr=0.02), 3, of_adam=True).point
    assert point.prior == er.Beta(5.0, 5.0) and (point.guide_parameters == 7.0).all()
    assert (point.learn_prior, point.rate, point.num_particles) == ("concentration1", 0.02, 4)
    assert (point.guide_name, point.loss, point.counts) == ("beta", OBJECTIVES["trace"], COUNTS)
    assert diagnosed(model, True, None, 3, of_adam=False).point.rate is None
    decaying = er.ClippedAdam(lr=0.02, lrd=0.5)
    assert diagnosed(model, True, decaying, 3, of_adam=True).point.rate == 0.02 / 8


def test_exact_numbers():
    numbers = {"log_evidence": -3.0, "elbo": -4.0, "gap": 1.0}
    highest = SimpleNamespace(log_evidence=-2.0)
    one = seen("converged", 0.0, supremum=highest, **numbers)
    assert exact_numbers(one) == {
        "objective": TOP, "elbo": -4.0, "gap": 1.0, "log_evidence": -3.0,
        "highest_log_evidence": -2.0,
    }  # fmt: skip
    one.point = replace(POINT, loss=RenyiBound(0.0, 2))
    assert "objective" not in exact_numbers(one)
    one.family = GUIDES["delta"]
    assert set(exact_numbers(one)) == {"log_evidence", "highest_log_evidence"}
    assert exact_numbers(seen("converged", 0.0, log_evidence=None)) == {"objective": TOP}
