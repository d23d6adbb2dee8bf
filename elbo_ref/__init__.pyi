from elbo_ref import recording as recording
from elbo_ref._format.table import Table as Table
from elbo_ref.counts import Counts as Counts
from elbo_ref.crosscheck import Finding as Finding, Verdict as Verdict, cross_check as cross_check
from elbo_ref.diagnostics.diagnosis import Diagnosis as Diagnosis, diagnose as diagnose
from elbo_ref.diagnostics.estimates import (
    EstimateTable as EstimateTable,
    estimate_table as estimate_table,
)
from elbo_ref.diagnostics.importance import ParetoK as ParetoK, pareto_k as pareto_k
from elbo_ref.distributions.base import Interval as Interval
from elbo_ref.distributions.beta import Beta as Beta, Gradient as Gradient
from elbo_ref.distributions.logit_normal import LogitNormal as LogitNormal
from elbo_ref.distributions.pathwise import (
    PathwiseGradient as PathwiseGradient,
    pathwise_gradient as pathwise_gradient,
    pathwise_gradient_of_draw as pathwise_gradient_of_draw,
)
from elbo_ref.distributions.point import Delta as Delta, Parameter as Parameter
from elbo_ref.distributions.posterior_table import (
    PosteriorTable as PosteriorTable,
    posterior_table as posterior_table,
)
from elbo_ref.estimates.difference import Difference as Difference
from elbo_ref.estimates.estimate import estimate as estimate
from elbo_ref.estimates.hyperprior import Hyperprior as Hyperprior
from elbo_ref.estimates.parameters import (
    PriorParameter as PriorParameter,
    PriorParameters as PriorParameters,
)
from elbo_ref.estimates.posterior_frame import with_posterior as with_posterior
from elbo_ref.estimates.prediction import Prediction as Prediction
from elbo_ref.estimates.result import Estimates as Estimates
from elbo_ref.evidence import (
    log_evidence as log_evidence,
    log_evidence_gradient as log_evidence_gradient,
    log_evidence_hessian as log_evidence_hessian,
    posterior as posterior,
)
from elbo_ref.guides import Guide as Guide
from elbo_ref.io import datasets as datasets
from elbo_ref.io.counts_file import read_counts as read_counts
from elbo_ref.io.datasets import (
    DataSet as DataSet,
    PublishedValue as PublishedValue,
    PyroRun as PyroRun,
)
from elbo_ref.mle.candidates import Candidate as Candidate, Proof as Proof
from elbo_ref.mle.intervals import ConfidenceRegion as ConfidenceRegion
from elbo_ref.mle.result import (
    EvidenceMaximum as EvidenceMaximum,
    maximize_evidence as maximize_evidence,
)
from elbo_ref.mle.tests import (
    ExpectedCounts as ExpectedCounts,
    TestResult as TestResult,
    expected_counts as expected_counts,
    likelihood_ratio_test as likelihood_ratio_test,
    tarone_test as tarone_test,
)
from elbo_ref.objectives import Renyi as Renyi, ScoreFunction as ScoreFunction
from elbo_ref.objectives.exact import (
    ElboGradient as ElboGradient,
    LogitNormalGradient as LogitNormalGradient,
    elbo as elbo,
    elbo_gradient as elbo_gradient,
    elbo_variance as elbo_variance,
    empty_guide_objective as empty_guide_objective,
    empty_guide_objective_gradient as empty_guide_objective_gradient,
)
from elbo_ref.objectives.gradient_variance import (
    GradientVariance as GradientVariance,
    gradient_variance as gradient_variance,
)
from elbo_ref.objectives.renyi import renyi_bound as renyi_bound
from elbo_ref.optima.optimum import Optimum as Optimum
from elbo_ref.recording.replay.check import replay as replay
from elbo_ref.recording.script import check as check
from elbo_ref.report import plot as plot, sentences as sentences
from elbo_ref.svi.checkpoint import (
    CheckpointError as CheckpointError,
    load_run as load_run,
    save_run as save_run,
)
from elbo_ref.svi.config import Config as Config
from elbo_ref.svi.convergence import NoiseFloor as NoiseFloor
from elbo_ref.svi.loop import History as History, State as State
from elbo_ref.svi.maximize import maximize_elbo as maximize_elbo
from elbo_ref.svi.optimizers import (
    Adam as Adam,
    ClippedAdam as ClippedAdam,
    ExponentialLR as ExponentialLR,
)
from elbo_ref.svi.result import Average as Average, Run as Run
from elbo_ref.svi.stationarity import Stationarity as Stationarity

__version__: str
