"""elbo_ref: the exact answers about SVI on a Beta-Binomial model.

The public names, each of which is imported when it is first asked for; its own module says more.

Values such as `Beta`, `Counts` and `Adam` are equal if what they hold is, and may be keys. So may
results: tuples and small tables (`gradient_variance`) are equal by what they hold, arrays included;
long tables and runs (`EstimateTable`, `Run`) only to themselves.
"""

import importlib

__version__ = "0.2.0"

_NAMES_OF = {
    "_format.table": "Table",
    "counts": "Counts",
    "crosscheck": "Finding Verdict cross_check",
    "diagnostics.diagnosis": "Diagnosis diagnose",
    "diagnostics.estimates": "EstimateTable estimate_table",
    "diagnostics.importance": "ParetoK pareto_k",
    "distributions.base": "Interval",
    "distributions.beta": "Beta Gradient",
    "distributions.logit_normal": "LogitNormal",
    "distributions.pathwise": "PathwiseGradient pathwise_gradient pathwise_gradient_of_draw",
    "distributions.point": "Delta Parameter",
    "distributions.posterior_table": "PosteriorTable posterior_table",
    "estimates.difference": "Difference",
    "estimates.estimate": "estimate",
    "estimates.hyperprior": "Hyperprior",
    "estimates.parameters": "PriorParameter PriorParameters",
    "estimates.prediction": "Prediction",
    "estimates.posterior_frame": "with_posterior",
    "estimates.result": "Estimates",
    "evidence": "log_evidence log_evidence_gradient log_evidence_hessian posterior",
    "guides": "Guide",
    "io.counts_file": "read_counts",
    "io.datasets": "DataSet PublishedValue PyroRun",
    "mle.candidates": "Candidate Proof",
    "mle.intervals": "ConfidenceRegion",
    "mle.result": "EvidenceMaximum maximize_evidence",
    "mle.tests": "ExpectedCounts TestResult expected_counts likelihood_ratio_test tarone_test",
    "objectives": "Renyi ScoreFunction",
    "objectives.exact": "ElboGradient LogitNormalGradient elbo elbo_gradient"
    " elbo_variance empty_guide_objective empty_guide_objective_gradient",
    "objectives.gradient_variance": "GradientVariance gradient_variance",
    "objectives.renyi": "renyi_bound",
    "svi.optimizers": "Adam ClippedAdam ExponentialLR",
    "optima.optimum": "Optimum",
    "recording.replay.check": "replay",
    "recording.script": "check",
    "report": "plot",
    "svi.checkpoint": "CheckpointError load_run save_run",
    "svi.convergence": "NoiseFloor",
    "svi.config": "Config",
    "svi.loop": "History State",
    "svi.maximize": "maximize_elbo",
    "svi.result": "Average Run",
    "svi.stationarity": "Stationarity",
}
"""The public names that a module defines; ``__init__.pyi`` says the same to type checkers."""
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names.split()}
_MODULE_OF_MODULE = {
    "datasets": "io.datasets",
    "recording": "recording",
    "sentences": "report.sentences",
}

__all__ = sorted(["__version__", *_MODULE_OF, *_MODULE_OF_MODULE])


def __getattr__(name):
    if name in _MODULE_OF_MODULE:
        found = importlib.import_module(f"elbo_ref.{_MODULE_OF_MODULE[name]}")
    elif name in _MODULE_OF:
        found = getattr(importlib.import_module(f"elbo_ref.{_MODULE_OF[name]}"), name)
    else:
        raise AttributeError(f"module 'elbo_ref' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__():
    return __all__
