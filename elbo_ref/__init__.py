"""elbo_ref: the exact answers about SVI on a Beta-Binomial model.

The public face, from the bottom up; each name's own module says more.

Values such as `Beta`, `Counts` and `Adam` are equal if what they hold is, and may be keys. So may
results: tuples (`gradient_variance`) are equal by what they hold, arrays included; tables and runs
(`Run`, `EstimateTable`) only to themselves.
"""

from elbo_ref import datasets, recording, report
from elbo_ref.adam import Adam, ClippedAdam, ExponentialLR
from elbo_ref.beta import Beta
from elbo_ref.checkpoint import load_run, save_run
from elbo_ref.counts import Counts
from elbo_ref.crosscheck import cross_check, replay
from elbo_ref.diagnosis import diagnose
from elbo_ref.estimates import estimate_table
from elbo_ref.evidence import (
    log_evidence,
    log_evidence_gradient,
    log_evidence_hessian,
    posterior,
)
from elbo_ref.guides import Delta, Parameter
from elbo_ref.importance import pareto_k
from elbo_ref.inference import (
    expected_counts,
    likelihood_ratio_test,
    shrunken_estimates,
    tarone_test,
)
from elbo_ref.latents import posterior_table
from elbo_ref.logit_normal import LogitNormal
from elbo_ref.maximum import maximize_evidence
from elbo_ref.objectives import Renyi, ScoreFunction
from elbo_ref.objectives.estimators import gradient_variance
from elbo_ref.objectives.exact import (
    elbo,
    elbo_gradient,
    elbo_variance,
    empty_guide_objective,
    empty_guide_objective_gradient,
)
from elbo_ref.objectives.renyi import renyi_bound
from elbo_ref.pathwise import pathwise_gradient, pathwise_gradient_of_draw
from elbo_ref.readers import read_counts
from elbo_ref.run import Run
from elbo_ref.svi import maximize_elbo
from elbo_ref.version import __version__

Run.plot = report.plot

__all__ = [
    "Adam",
    "Beta",
    "ClippedAdam",
    "Counts",
    "Delta",
    "ExponentialLR",
    "LogitNormal",
    "Parameter",
    "Renyi",
    "ScoreFunction",
    "__version__",
    "cross_check",
    "datasets",
    "diagnose",
    "elbo",
    "elbo_gradient",
    "elbo_variance",
    "empty_guide_objective",
    "empty_guide_objective_gradient",
    "estimate_table",
    "expected_counts",
    "gradient_variance",
    "likelihood_ratio_test",
    "load_run",
    "log_evidence",
    "log_evidence_gradient",
    "log_evidence_hessian",
    "maximize_elbo",
    "maximize_evidence",
    "pareto_k",
    "pathwise_gradient",
    "pathwise_gradient_of_draw",
    "posterior",
    "posterior_table",
    "read_counts",
    "recording",
    "renyi_bound",
    "replay",
    "save_run",
    "shrunken_estimates",
    "tarone_test",
]
