"""`elbo_ref.diagnostics.point`: one diagnosis of a run's end and of the same parameters by hand."""

import dataclasses

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref import guides, objectives
from elbo_ref.crosscheck.optimum import exact_numbers, optimum_finding
from elbo_ref.diagnostics.point import Point, PointDiagnosis
from elbo_ref.svi.convergence import ARRIVED, NEGLIGIBLE
from elbo_ref.svi.optimizers import rate_after
from tiers import few

COUNTS = er.Counts([3, 5, 12], [10, 20, 20])


def point_of(run):
    """The parameters that a run has reached, as somebody would hand them in."""
    return Point(
        counts=run.counts,
        guide_name=run.guide_name,
        loss=run.loss,
        prior=run.prior,
        guide_parameters=run.config.parameters.split(run.vector)[1],
        learn_prior=run.learn_prior,
        rate=rate_after(run.config.optimizer, len(run.losses)),
        num_particles=run.config.num_particles,
    )


@pytest.mark.parametrize("loss", few(["trace", "trace_mean_field", "exact"], 2))
@pytest.mark.parametrize("guide", few([name for name in guides.GUIDES if name != "empty"], 4))
def test_a_run_and_its_parameters_have_one_diagnosis(guide, loss):
    run = er.maximize_elbo(
        COUNTS, guide, loss=loss, optimizer=er.Adam(lr=0.1), num_steps=60, num_particles=4
    )
    seen, by_hand = er.diagnose(run), PointDiagnosis(point_of(run))
    assert by_hand.case == seen.case
    assert by_hand.optimum == seen.optimum
    for name in ("objective", "log_evidence", "gap", "elbo", "distance", "shortfall"):
        wanted = getattr(seen, name)
        assert getattr(by_hand, name) == (wanted and pytest.approx(wanted, rel=1e-12, abs=1e-12))
    assert by_hand.supremum == seen.supremum


@pytest.mark.parametrize(
    ("shortfall", "case", "name", "agrees"),
    few(
        [
            (ARRIVED / 2, "converged", "at_optimum", True),
            (NEGLIGIBLE + 0.1, "noise_floor", "noise_floor", False),
            (20.0, "not_converged", "not_converged", False),
            (0.0, "converged", "at_optimum", True),
            (0.05, "noise_floor", "at_optimum", True),
        ],
        3,
    ),
)
def test_the_thresholds(shortfall, case, name, agrees):
    """The prior's concentration0 is moved until so much is missing."""
    guide, loss = guides.find("conjugate_detached"), objectives.find("trace")
    counts = er.Counts([0, 1, 2], 2, multiplicity=[40, 30, 50])
    top = er.maximize_evidence(counts)
    a, b = top.prior.arrays()
    low, high = 1.0, 200.0
    for _ in range(80):
        middle = np.sqrt(low * high)
        below = top.log_evidence - er.log_evidence(er.Beta(a, b * middle), counts)
        low, high = (middle, high) if below < shortfall else (low, middle)
    seen = PointDiagnosis(
        Point(
            counts=counts,
            guide_name=guide.name,
            loss=loss,
            prior=er.Beta(a, b * low),
            guide_parameters=np.array([counts.successes, counts.failures], float),
            learn_prior=True,
            rate=0.1,
            num_particles=1,
        )
    )
    assert seen.shortfall == pytest.approx(shortfall, abs=1e-9)
    assert (seen.case, seen.at_maximum) == (case, agrees)
    finding = optimum_finding(seen)
    assert (finding.name, finding.status) == (name, "agrees" if agrees else "optimum")
    assert finding.ours == seen.optimum.value and finding.theirs == seen.objective


def test_without_a_rate_there_is_no_floor():
    point = point_of(er.maximize_elbo(COUNTS, num_steps=60))
    assert point.floor is not None and dataclasses.replace(point, rate=None).floor is None
    outside = dataclasses.replace(point, prior=er.Beta(1e90, 1.0))
    assert outside.floor is None and not outside.stationarity.holds


@pytest.mark.parametrize("guide", ["normal", "empty", "delta", "none"])
def test_the_exact_numbers(guide):
    """An ELBO and a gap where the objective is an ELBO, an evidence where there is a prior."""
    run = er.maximize_elbo(COUNTS, guide, loss="exact", num_steps=5)
    numbers = exact_numbers(PointDiagnosis(point_of(run)))
    assert numbers["objective"] == run.objective
    assert ("elbo" in numbers, "gap" in numbers) == (guide == "normal",) * 2
    assert ("log_evidence" in numbers) == (guide != "none")
    if guide == "normal":
        difference = numbers["log_evidence"] - numbers["elbo"]
        assert numbers["gap"] == pytest.approx(difference, abs=1e-12) and difference > 0
