"""Every public function with something wrong for each argument, and under every errstate."""

import inspect
import itertools

import numpy as np
import pytest

import elbo_ref as er

COUNTS = er.Counts([3, 0, 9], 10)
PRIOR, GUIDE, NORMAL = er.Beta(2.0, 3.0), er.Beta([2.0, 3.0, 4.0], 5.0), er.LogitNormal(0.1, 0.7)
MAXIMUM = er.maximize_evidence(er.Counts([0, 1, 2], 2, multiplicity=[40, 30, 50]))
RUN = er.maximize_elbo(COUNTS, loss="exact", num_steps=3)
ESTIMATES = er.estimate(COUNTS, PRIOR)
MODEL = {"prior": PRIOR, "counts": COUNTS}
ROWS = {"successes": [1, 2], "total_count": [3, 4]}
ADAM = {"lr": 0.1, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.0}
LAYOUT = {
    "path": "no such folder/counts.csv",
    **{"successes": "k", "total_count": "n", "multiplicity": None, "group": None},
    **{"shared": False, "columns": None, "na": "drop", "in_order": False, "progress": False},
}

CALLS = {
    "Adam": (er.Adam, {**ADAM, "amsgrad": False}),
    "ClippedAdam": (er.ClippedAdam, {**ADAM, "clip_norm": 1.0, "lrd": 1.0}),
    "ExponentialLR": (er.ExponentialLR, {"optimizer": er.Adam(), "gamma": 0.5}),
    "Beta": (er.Beta, {"concentration1": 1.0, "concentration0": [1.0, 2.0]}),
    "LogitNormal": (er.LogitNormal, {"loc": 1.0, "scale": [1.0, 2.0]}),
    "Delta": (er.Delta, {"probs": 0.5}),
    "Delta of logits": (er.Delta, {"logits": 0.5}),
    "Parameter": (er.Parameter, {"probs": [0.5, 0.2]}),
    "Renyi": (er.Renyi, {"alpha": 0.5, "num_samples": 2}),
    "ScoreFunction": (er.ScoreFunction, {"baseline": 0.5}),
    "Counts": (er.Counts, {**ROWS, "multiplicity": [1, 2]}),
    "Counts.shared": (er.Counts.shared, ROWS),
    "Counts.grouped": (er.Counts.grouped, {**ROWS, "groups": ["a", "b"]}),
    "Counts.from_columns": (
        er.Counts.from_columns,
        {**ROWS, "multiplicity": [1, 2], "log_split": [0.0, -1.0], "labels": ["a", "b"]},
    ),
    "Counts.pooled": (COUNTS.pooled, {"groups": ["a", "b", "a"]}),
    "log_evidence": (er.log_evidence, MODEL),
    "log_evidence_gradient": (er.log_evidence_gradient, MODEL),
    "log_evidence_hessian": (er.log_evidence_hessian, MODEL),
    "posterior": (er.posterior, MODEL),
    "posterior_table": (er.posterior_table, {**MODEL, "prob": 0.9}),
    "elbo": (er.elbo, {"guide": GUIDE, **MODEL}),
    "elbo of a normal": (er.elbo, {"guide": NORMAL, **MODEL}),
    "elbo_gradient": (er.elbo_gradient, {"guide": GUIDE, **MODEL}),
    "elbo_variance": (er.elbo_variance, {"guide": GUIDE, **MODEL}),
    "empty_guide_objective": (er.empty_guide_objective, MODEL),
    "empty_guide_objective_gradient": (er.empty_guide_objective_gradient, MODEL),
    "gradient_variance": (er.gradient_variance, {"guide": GUIDE, **MODEL}),
    "renyi_bound": (er.renyi_bound, {"guide": PRIOR, **MODEL, "alpha": 0.0, "num_samples": 2}),
    "pathwise_gradient": (
        er.pathwise_gradient,
        {"logit": [0.0, 1.0], "concentration1": 1.0, "concentration0": [2.0, 3.0]},
    ),
    "pathwise_gradient_of_draw": (
        er.pathwise_gradient_of_draw,
        {"c": [0.5, 0.2], "concentration1": 1.0, "concentration0": [2.0, 3.0]},
    ),
    "estimate_table": (er.estimate_table, {"counts": COUNTS, "prior": PRIOR}),
    "expected_counts": (er.expected_counts, {"maximum": MAXIMUM, "least": 5.0}),
    "likelihood_ratio_test": (er.likelihood_ratio_test, {"counts": COUNTS}),
    "tarone_test": (er.tarone_test, {"counts": COUNTS}),
    "estimate": (
        er.estimate,
        {"counts": COUNTS, "prior": "averaged", "hyperprior": er.Hyperprior()}
        | {"level": 0.9, "by": ["a", "b", "a"], "above": 0.5, "progress": False},
    ),
    "Hyperprior": (er.Hyperprior, {"mean": PRIOR, "weight": (1.0, 1.0), "trials": 3.0}),
    "Hyperprior.power": (er.Hyperprior.power, {"exponent": -2.5}),
    "Estimates.probability_above": (ESTIMATES.probability_above, {"c": 0.5}),
    "Estimates.difference": (ESTIMATES.difference, {"label1": 0, "label2": 1}),
    "Estimates.predict": (ESTIMATES.predict, {"total_count": 3, "label": 1}),
    "maximize_evidence": (er.maximize_evidence, {"counts": COUNTS, "fixed": {"mean": 0.5}}),
    "maximize_elbo": (
        er.maximize_elbo,
        {"counts": COUNTS, "guide": "beta", "loss": "trace", "prior": PRIOR, "learn_prior": True}
        | {"optimizer": er.Adam(), "num_steps": 2, "num_particles": 1, "rng": 0}
        | {"until": "converged", "constraint": "positive", "subsample_size": 2}
        | {"progress": False},
    ),
    "diagnose": (er.diagnose, {"run": RUN}),
    "save_run": (er.save_run, {"run": RUN, "path": "no such folder/run", "overwrite": False}),
    "load_run": (er.load_run, {"path": "no such folder/run.npz"}),
    "read_counts": (er.read_counts, LAYOUT),
    "Recording.load": (er.recording.Recording.load, {"path": "no such folder/recording.npz"}),
    "datasets.load": (er.datasets.load, {"name": "forum"}),
    "datasets.describe": (er.datasets.describe, {"name": "forum"}),
    "Beta.log_prob": (GUIDE.log_prob, {"c": 0.5}),
    "Beta.kl": (GUIDE.kl, {"other": PRIOR}),
    "Beta.interval": (PRIOR.interval, {"prob": 0.5}),
    "Beta.sample": (PRIOR.sample, {"size": 2, "rng": 0}),
    "Beta.sample_logit": (PRIOR.sample_logit, {"size": (2, 3), "rng": 0}),
    "Beta.conjugate_update": (PRIOR.conjugate_update, {"successes": 1, "failures": [1, 2]}),
    "LogitNormal.log_prob": (NORMAL.log_prob, {"c": 0.5}),
    "LogitNormal.interval": (NORMAL.interval, {"prob": 0.5}),
    "LogitNormal.sample": (NORMAL.sample, {"size": 2, "rng": 0}),
    "Delta.interval": (er.Delta(0.5).interval, {"prob": 0.5}),
    "Delta.sample": (er.Delta(0.5).sample, {"size": 2, "rng": 0}),
    "EvidenceMaximum.confidence_interval": (
        MAXIMUM.confidence_interval,
        {"parameter": "mean", "method": "wald", "level": 0.9},
    ),
    "EvidenceMaximum.profile": (MAXIMUM.profile, {"parameter": "mean", "value": 0.5}),
    "Run.resume": (RUN.resume, {"num_steps": 2, "progress": False}),
    "Run.average": (RUN.average, {"last": 0.5}),
    "Run.posterior_table": (RUN.posterior_table, {"prob": 0.5}),
}
"""What is called, with arguments that are right, but for a file that is not there."""

JUNK = {
    "None": None,
    "True": True,
    "3": 3,
    "-1": -1,
    "2.5": 2.5,
    "nan": float("nan"),
    "1j": 1j,
    "10**400": 10**400,
    "'x'": "x",
    "b'x'": b"x",
    "[]": [],
    "['a']": ["a"],
    "ragged": [[1], [1, 2]],
    "ones": np.ones((2, 2, 2)),
    "masked": np.ma.masked_array([1.0, 2.0], [False, True]),
    "{}": {},
    "set": {1},
    "object": object(),
    "type": int,
    "five": er.Beta(1.0, [1.0, 2.0, 3.0, 4.0, 5.0]),
}

NUMBER = ("3", "2.5")
REAL = (*NUMBER, "-1")
ARRAY = (*NUMBER, "ones", "True")
NAMED = {"successes": ("3", "True"), "total_count": ("3",), "multiplicity": ("None", "3", "True")}
TEXT = ("'x'", "b'x'")
RIGHT = {
    **dict.fromkeys(("lr", "eps", "weight_decay", "clip_norm", "lrd", "least"), NUMBER),
    **dict.fromkeys(("alpha", "baseline"), REAL),
    **dict.fromkeys(("concentration1", "concentration0", "scale"), (*ARRAY, "[]")),
    **dict.fromkeys(("loc", "logits", "logit", "tilt1", "tilt0"), (*ARRAY, "-1", "[]")),
    **dict.fromkeys(("probs", "c"), ("[]", "True", "ones")),
    **dict.fromkeys(("num_steps", "num_particles", "num_samples", "size"), ("3",)),
    "rng": ("3", "10**400"),
    "amsgrad": ("True",),
    **NAMED,
    "log_split": ("None",),
    "labels": ("None",),
    "groups": ("None",),
    "fixed": ("None",),
    "until": ("None",),
    "learn_prior": ("True",),
    "subsample_size": ("None", "3"),
    "path": TEXT,
    "overwrite": ("True",),
    "other": ("five",),
    **dict.fromkeys(("shared", "in_order"), ("True",)),
    **dict.fromkeys(("hyperprior", "by"), ("None",)),
    "progress": ("None", "True"),
    "above": ("None",),
    "trials": ("None", *NUMBER),
    "label": ("None", "True"),
    "label2": ("True",),
}
"""What of `JUNK` an argument of that name may be."""
ELSEWHERE = {
    ("estimate_table", "prior"): ("None",),
    **{
        ("read_counts", name): ("'x'", "None")
        for name in ("successes", "total_count", "multiplicity", "group")
    },
    ("read_counts", "columns"): ("None", "[]", "['a']"),
    ("Beta.conjugate_update", "successes"): ARRAY,
    ("Beta.conjugate_update", "failures"): (*ARRAY, "[]"),
}
"""The same, of one function's argument."""
VALUES = {"Beta", "Counts", "Delta", "LogitNormal", "Parameter", "Renyi", "ScoreFunction"}
"""Classes that people call; the others are what functions return."""
SAID = {"value": ("value", "mean"), "betas": ("betas",)}
"""What a message may call an argument, where that is not its name."""


def test_the_walk_goes_everywhere():
    data = {"__version__", "datasets", "recording", "sentences"}
    doors = {"check", "cross_check", "replay"}  # of somebody's files: tested with them
    needs_more = {"pareto_k", "plot", "with_posterior"}
    results = {
        name
        for name in er.__all__
        if isinstance(getattr(er, name), type) and name not in CALLS and name not in VALUES
    }
    walked = {name.split(".")[0].split(" ")[0] for name in CALLS}
    assert set(er.__all__) - data - doors - needs_more - results <= walked
    for function, right in CALLS.values():
        names = set(inspect.signature(function).parameters)
        assert set(right) <= names or names == {"path", "layout"}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("errstate", ["default", "raise"])
def test_what_is_right_passes(name, errstate):
    function, right = CALLS[name]
    with np.errstate(all="raise") if errstate == "raise" else np.errstate():
        if "path" in right:
            with pytest.raises(OSError, match="no such folder"):
                function(**right)
        else:
            function(**right)


@pytest.mark.parametrize("name", CALLS)
def test_what_is_wrong_is_named(name):
    function, right = CALLS[name]
    for argument, (label, junk) in itertools.product(right, JUNK.items()):
        allowed = ELSEWHERE.get((name, argument), RIGHT.get(argument, ()))
        if label in allowed:
            continue
        with pytest.raises((TypeError, ValueError)) as caught:
            function(**{**right, argument: junk})
        words = str(caught.value)
        assert any(said in words for said in SAID.get(argument, (argument,))), (argument, label)
        assert "elbo_ref" in str(caught.traceback[-1].path), (argument, label, words)


@pytest.mark.parametrize("name", [name for name, (_, right) in CALLS.items() if len(right) > 1])
def test_two_that_are_swapped(name):
    function, right = CALLS[name]
    for one, other in itertools.combinations(right, 2):
        words = ""
        try:
            function(**{**right, one: right[other], other: right[one]})
        except (TypeError, ValueError, ImportError) as error:
            words = str(error)
        except FileNotFoundError:
            assert "path" in right
        assert not words or any(name in words for name in right), (one, other)


# -- what a newcomer calls, and what the error says to do --------------------------------------


class Frame:
    """Looks like a data frame."""

    columns = ("k", "n")


FOUND, GROUPS = er.estimate(COUNTS, PRIOR), er.estimate(COUNTS, PRIOR, by=["a", "b", "b"])
NUMBER = "write numbers without quotes, or convert a column of texts first"
REMEDIES = {
    "er.estimate('counts.csv')": r"make it by read_counts\(path\)",
    "er.tarone_test(Frame())": r"make it by Counts.from_frame\(frame, successes=COLUMN, total_cou",
    "er.estimate(None)": r"make it by Counts\(successes, total_count\)",
    "er.maximize_evidence([3, 4])": r"make it by Counts\(successes, total_count\)",
    "er.estimate(COUNTS, hyperprior='flat')": r"make it by Hyperprior\(mean=Beta\(1, 1\)",
    "er.posterior_table('averaged', COUNTS)": r"make it by Beta\(concentration1, concentration0\)",
    "er.expected_counts(COUNTS)": r"make it by maximize_evidence\(counts\)",
    "er.estimate(COUNTS, 'MLE')": "must be 'averaged', 'mle' or a Beta",
    "er.estimate(COUNTS, MAXIMUM)": r"as Beta\(2.0, 8.0\) or the `prior` of maximize_evidence",
    "er.estimate(COUNTS, (1, 1))": r"as Beta\(2.0, 8.0\) or the `prior` of max.*not tuple",
    "er.estimate(COUNTS, level=95)": "must lie strictly between 0 and 1; 95 % is 0.95",
    "er.posterior_table(PRIOR, COUNTS, prob=99.5)": "99.5 % is 0.995",
    "er.estimate(COUNTS, level='95%')": NUMBER,
    "er.estimate(COUNTS, above='0.3')": NUMBER,
    "er.estimate(COUNTS, by='arm')": r"make them by Counts.from_frame\(frame, ..., by=\"arm\"\)",
    "er.Beta('a', 1)": NUMBER,
    "er.Counts('3', '10')": NUMBER,
    "er.Counts(['3', '4'], 10)": NUMBER,
    "er.Counts(None, 10)": r"successes must hold whole numbers, not None \(NoneType\)",
    "er.Counts({'a': 1}, 2)": r"successes must hold whole numbers, not {'a': 1} \(dict\)",
    "er.Counts([3, np.nan], 10)": r"successes\[1\] = nan .*; leave rows without a value out",
    "er.Counts.from_frame('counts.csv')": "read_counts reads a file",
    "er.read_counts('https://example.invalid/c.csv')": "fetch the file first, or read it into a fr",
    "er.read_counts(Frame())": "call Counts.from_frame",
    "FOUND.plot(ax=3)": r"leave ax out, or give matplotlib.pyplot.subplots\(\)\[1\]",
    "FOUND.plot(color='red')": "it has only latent and above",
    "FOUND['nobody']": r"no row has this label; rows are 0, 1, 2",
    "er.expected_counts(MAXIMUM)[3]": r"no row has this total_count, successes; rows are \(2, 0\)",
    "FOUND.difference(0, 9)": "is not a label of these estimates, which are 0, 1, 2",
    "FOUND.difference(0, 1, groups=True)": "there are no groups to compare: give by= to estimate",
    "FOUND.same_mean_test()": "there are no groups: give by= to estimate",
    "FOUND.predict(10, group='a')": "group = 'a', and there are no groups: give by= to estimate",
    "GROUPS.predict(10)": r"^a new latent is of one of the groups \['a', 'b'\]: give group=$",
    "GROUPS.predict(10, group='z')": r"^group = 'z' is not one of the groups \['a', 'b'\]$",
    "GROUPS.predict(10, 1, group='a')": "that of a new latent: leave label or group out",
    "er.estimate(COUNTS, 'mle', hyperprior=er.Hyperprior())": "prior is 'mle': leave one of the t",
    "er.estimate(COUNTS, PRIOR, hyperprior=er.Hyperprior())": "is a Beta: leave one of the two out",
    "MAXIMUM.confidence_interval('sd')": "must be one of .*, mean, concentration, rho",
    "er.maximize_evidence(COUNTS, 0.3)": "fixed must be a mapping, as {'mean': 0.2}, not float",
    "FOUND.to_csv(3)": "path must be a str or a Path, not int",
}


@pytest.mark.parametrize("code", REMEDIES)
def test_the_error_says_what_to_do(code):
    if "plot(" in code:
        pytest.importorskip("matplotlib")
    with pytest.raises((TypeError, ValueError, KeyError), match=REMEDIES[code]):
        eval(code)
