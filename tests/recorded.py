"""Recordings made by hand for the tests of the replay: draws by NumPy, losses by SciPy's
distributions, gradients from the formulas of docs/pathwise.md spelled out, updates by our Adam."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from scipy import special, stats

import elbo_ref as er
from elbo_ref.recording import Recording
from elbo_ref.recording.replay import kernel
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.replay.trace import ReplayTrace
from elbo_ref.recording.statement import read_statement

K, N = np.array([3, 7, 12]), np.array([10, 9, 40])
COUNTS = er.Counts(K, N)
LOGC = float(COUNTS.log_coefficient.sum())
STEPS, PARTICLES, LR = 40, 2, 0.03
NAMES = {
    "prior.concentration1": "a",
    "prior.concentration0": "b",
    "guide.concentration1": "qa",
    "guide.concentration0": "qb",
}
CONCENTRATIONS = ("concentration1", "concentration0")
SETTINGS = {"lr": LR, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}


def site(program, name, kind="Beta", **described):
    """A site of a header."""
    return {"program": program, "name": name, "class": kind, "observed": False, **described}


def stated(c, arguments, *, sites=None, losses=None, **groups):
    """Steps of a program with one Binomial row for each latent, of which these arguments are noted.

    `c` is (T, P, 3); an argument is a value for all steps, or an array (T, 1 or 3). Without `sites`
    every one that has an argument is a Beta.
    """
    steps = len(c)
    wide = {}
    for name, x in arguments.items():
        x = np.asarray(x, c.dtype)
        wide[name] = x if x.ndim == 2 else np.tile(x.reshape(1, -1), (steps, 1))
    if sites is None:
        named = dict.fromkeys(tuple(name.split(".")[:2]) for name in arguments)
        sites = [site(*where) for where in named]
    rows = {"rows": 3, "elements": 3, "latent": "c", "complement": False}
    observed = {"k.value": K[None], "k.total_count": N[None], "k.index": np.arange(3)[None]}
    header = groups.pop("header", {})
    made = {
        "losses": np.zeros(steps) if losses is None else losses,
        "draws": {"c": c},
        "arguments": wide,
        "observed": {name: x.astype(c.dtype) for name, x in observed.items()},
        "header": {
            "sites": [*sites, site("model", "k", "Binomial", **{**rows, "observed": True})],
            **header,
        },
    }
    return Recording(**{**made, **groups})


def betas(prior, own=None):
    """Arguments of Beta sites of the latent, by their names."""
    programs = {"model": prior} | ({} if own is None else {"guide": own})
    return {
        f"{program}.c.{name}": x
        for program, pair in programs.items()
        for name, x in zip(CONCENTRATIONS, pair, strict=True)
    }


def hide_pytorch(monkeypatch):
    """Have `elbo_ref` find no PyTorch; SciPy, which looks for it too, sees what is installed."""

    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(kernel, "import_module", absent)


class Array:
    """As much of a tensor as the caller of PyTorch's kernel uses, of an array of NumPy."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def sum(self, axis, keepdims):
        return Array(self.values.sum(axis=axis, keepdims=keepdims))

    def expand_as(self, other):
        return Array(np.broadcast_to(self.values, other.values.shape))

    def double(self):
        return Array(self.values.astype(np.float64))

    def numpy(self):
        return self.values


def stand_in_for_pytorch(monkeypatch, kernel_of):
    """Have `elbo_ref` find a PyTorch whose kernel is a function of three arrays, as `Array`s."""
    torch = SimpleNamespace(from_numpy=Array, _dirichlet_grad=kernel_of)
    monkeypatch.setattr(kernel, "import_module", {"torch": torch}.__getitem__)


def exact_but_for(error):
    """The derivative of a Beta draw, relatively off by so much."""

    def kernel_of(x, concentration, _total):
        (c, failure), (a, b) = (np.moveaxis(y.values, -1, 0) for y in (x, concentration))
        by_a, by_b = er.pathwise_gradient(np.log(c) - np.log(failure), a, b)
        return Array((1 + error) * np.stack([by_a * c, -by_b * failure], axis=-1))

    return kernel_of


def trace_of(recording):
    """The trace of a recording that states its data."""
    statement = read_statement(recording)
    return ReplayTrace.of(statement, statement.data)


class Made:
    """A run by hand, and its parts for those who plant mistakes."""

    def __init__(self, kind="beta", source=None, seed=0, likelihood=1.0, pathwise=None):
        rng = np.random.default_rng(seed)
        self.pathwise = pathwise or (lambda c, a, b: er.pathwise_gradient(special.logit(c), a, b))
        self.kind, self.names = kind, dict(list(NAMES.items())[: 4 if kind == "beta" else 2])
        free = {"a": np.log(2.0), "b": np.log(5.0)}
        if kind == "beta":
            free |= {"qa": np.log([4.0, 8.0, 15.0]), "qb": np.log([9.0, 6.0, 30.0])}
        free = {name: np.array(value) for name, value in free.items()}
        adam = er.Adam(lr=LR)
        states = {name: adam.init(value) for name, value in free.items()}
        self.rows, self.parts = [], []
        for _ in range(STEPS):
            x = {name: np.exp(value) for name, value in free.items()}
            one, zero = (x["qa"], x["qb"]) if kind == "beta" else (x["a"], x["b"])
            drawn = (one, zero) if source is None else source(x)
            c = rng.beta(*drawn, size=(PARTICLES, 3))
            density, through, score = self._gradients(x, c, one, zero, likelihood)
            gradient = {name: density[name] + through[name] for name in free}
            moved = {}
            for name in free:
                moved[name], states[name] = adam.update(states[name], free[name], gradient[name])
            self.rows.append(
                {
                    "losses": -np.mean(np.sum(self._f(x, c, one, zero, likelihood), axis=1)),
                    "draws": {"c": c},
                    "before": free,
                    "constrained": x,
                    "gradients": gradient,
                    "after": moved,
                }
            )
            self.parts.append({"density": density, "through": through, "score": score})
            free = moved

    def _f(self, x, c, one, zero, likelihood=1.0):
        f = likelihood * stats.binom.logpmf(K, N, c) + stats.beta.logpdf(c, x["a"], x["b"])
        return f - (0 if self.kind == "empty" else stats.beta.logpdf(c, one, zero))

    def _gradients(self, x, c, one, zero, likelihood):
        """Of the loss, for the logarithms: at fixed draws, through them, and by the score."""
        slope = likelihood * (K * (1 - c) - (N - K) * c)
        if self.kind != "tied":
            slope = slope + (x["a"] - 1) * (1 - c) - (x["b"] - 1) * c
        if self.kind == "beta":
            slope = slope - (one - 1) * (1 - c) + (zero - 1) * c
        moved = self.pathwise(c, one, zero)
        logs = np.log(c), np.log1p(-c)
        psi = special.psi
        by_prior = [
            log - psi(z) + psi(x["a"] + x["b"])
            for log, z in zip(logs, (x["a"], x["b"]), strict=True)
        ]
        density, through, score = {}, {}, {}
        for i, (name, own) in enumerate((("a", "qa"), ("b", "qb"))):
            paths = slope * moved[i]
            if self.kind != "beta":
                counted = by_prior[i] * (self.kind == "empty")
                density[name] = -x[name] * np.mean(np.sum(counted, axis=1))
                through[name] = -x[name] * np.mean(np.sum(paths, axis=1))
                continue
            density[name] = -x[name] * np.mean(np.sum(by_prior[i], axis=1))
            through[name], score[name] = 0.0 * density[name], density[name]
            q = (one, zero)[i]
            scores = logs[i] - psi(q) + psi(one + zero)
            density[own] = q * np.mean(scores, axis=0)
            through[own] = -q * np.mean(paths, axis=0)
            score[own] = -q * np.mean(scores * self._f(x, c, one, zero, likelihood), axis=0)
        return density, through, score

    def recording(self, **changed):
        """All steps; a change is a function of the recording's own arrays.

        The gradients for the arguments follow from those for the parameters, also where these are
        changed.
        """
        rows = self.rows
        groups = {
            group: {name: np.array([row[group][name] for row in rows]) for name in rows[0][group]}
            for group in ("draws", "before", "constrained", "gradients", "after")
        }
        settings = dict.fromkeys(rows[0]["before"], SETTINGS)
        made = Recording(
            losses=np.array([row["losses"] for row in rows]),
            arguments={
                name: groups["constrained"][parameter].reshape(STEPS, -1)
                for name, parameter in self.sources.items()
            },
            observed={
                "k.value": K[None].astype(float),
                "k.total_count": N[None].astype(float),
                "k.index": np.arange(3.0)[None],
            },
            header={
                "loss": {"class": "Trace_ELBO"},
                "optimizer": {"class": "Adam", "settings": settings},
                "constraints": dict.fromkeys(settings, "positive"),
                "programs": {
                    name: [program for program in ("model", "guide") if self._states(program, name)]
                    for name in settings
                },
                "sites": self._sites(),
            },
            **groups,
        )
        for early in (True, False):
            parts = {x: f for x, f in changed.items() if (x != "argument_gradients") == early}
            if early and "gradients" in parts:
                made = replace(made, gradients=parts.pop("gradients")(made))
            if early:
                made = replace(made, argument_gradients=self._argument_gradients(made))
            made = replace(made, **{name: change(made) for name, change in parts.items()})
        return made

    @property
    def sources(self):
        """The parameter that each argument of a site is."""
        own = {"beta": ("qa", "qb"), "tied": ("a", "b"), "empty": ()}[self.kind]
        programs = {"model": ("a", "b"), "guide": own}
        return {
            f"{program}.c.{name}": parameter
            for program, pair in programs.items()
            for name, parameter in zip(CONCENTRATIONS, pair, strict=bool(pair))
        }

    def _states(self, program, parameter):
        return any(
            argument.startswith(f"{program}.") and name == parameter
            for argument, name in self.sources.items()
        )

    def _sites(self):
        sites = []
        for program in ("model", "guide") if self.kind != "empty" else ("model",):
            named = {x: [self.sources[f"{program}.c.{x}"]] for x in CONCENTRATIONS}
            sites.append(site(program, "c", sources=named))
        rows = {"rows": 3, "elements": 3, "latent": "c", "complement": False}
        return [*sites, site("model", "k", "Binomial", observed=True, **rows)]

    def _argument_gradients(self, made):
        """Of the loss, for what the arguments are; the guide has the rest where both have one."""
        found = {}
        for name, parameter in self.sources.items():
            x = made.constrained[parameter].reshape(STEPS, -1)
            found[name] = made.gradients[parameter].reshape(STEPS, -1) / x
            if self.kind == "tied":
                found[name] = found[name] * (0.25 if name.startswith("model") else 0.75)
        return found

    def gradient(self, part):
        return {
            name: np.array([parts[part][name] for parts in self.parts])
            for name in self.parts[0][part]
        }

    def replay(self, recording=None, counts=COUNTS, **claims):
        claims = {"guide": self.kind, "names": self.names, **claims}
        return replay(recording or self.recording(), counts, **claims)
