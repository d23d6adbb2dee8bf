"""The Beta-Binomial model in Pyro as many hands write it, and what they get wrong.

A program is put together from the parametrisation of its prior, that of its guide's concentrations,
a layout of the sites, and a guide. Pyro is not imported here: a test hands in its modules.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

import elbo_ref as er

K, N = [3, 7, 12], [10, 9, 40]
TRIALS = np.array([[1, 0, 1], [1, 0, 0], [1, 1, 0], [0, 0, 0]])
"""Single trials, a column for each latent."""
GROUPS = [2, 0, 0, 1, 2, 2, 1]
"""The latent that each of seven rows belongs to."""
OF_GROUPS = [1, 0, 2, 5, 3, 3, 0], [4, 3, 9, 6, 3, 8, 2]
FIXED = [2.0, 2.0]
"""A prior that is not learned."""


class Style(NamedTuple):
    """A way to write the program down, by the names of its parts."""

    prior: str = "positive"
    own: str = "positive"
    layout: str = "plate"
    guide: str = "own"
    dtype: str = "float32"
    loss: str = "Trace_ELBO"
    particles: int = 1
    vectorize: bool = False


@dataclass
class Hand:
    """What a program is written with, and what is wrong in it.

    Attributes
    ----------
    torch, pyro : modules
    style : Style
    wrong : dict
        ``detached``: ("prior" or "guide", how); ``constraint``, of the guide's; ``names``, the
        guide's two; ``hidden``: its draws, from Pyro; ``no jacobian``, of its sigmoid;
        ``unobserved``; ``likelihood``, ``scale``: factors; ``column``: values of shape (L, 1);
        ``nan_at``: the call of the prior from which it is no number.
    """

    torch: Any
    pyro: Any
    style: Style = field(default_factory=Style)
    wrong: dict[str, Any] = field(default_factory=dict)
    calls: int = 0
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def dist(self) -> Any:
        return self.pyro.distributions

    def tensor(self, x: Any) -> Any:
        return self.torch.tensor(x, dtype=self.torch.get_default_dtype())

    def parameter(self, name: str, value: Any, constraint: str | Any = "positive") -> Any:
        kind = constraint
        if isinstance(constraint, str):
            kind = getattr(self.dist.constraints, constraint)
        return self.pyro.param(name, self.tensor(value), constraint=kind)

    def concentrations(self, owner: str) -> tuple[Any, Any]:
        """Both of the prior's or of the guide's own."""
        table, name = (PRIORS, self.style.prior) if owner == "prior" else (OWN, self.style.own)
        pair = table[name](self)
        whose, how = self.wrong.get("detached", ("", ""))
        if whose == owner:
            out = {
                "detach": lambda x: x.detach(),
                "item": lambda x: self.torch.tensor(x.detach().tolist(), dtype=x.dtype),
                "data": lambda x: x.data,
            }
            pair = tuple(out[how](x) for x in pair)
        if owner == "prior" and "nan_at" in self.wrong:
            self.calls += 1
            if self.calls > self.wrong["nan_at"]:
                pair = tuple(x * float("nan") for x in pair)
        return pair

    def observed(self, value: Any) -> Any:
        return None if self.wrong.get("unobserved") else value

    def likelihood(self) -> Any:
        factor = self.wrong.get("likelihood")
        return self.pyro.poutine.scale(scale=factor) if factor else nullcontext()

    def everything(self) -> Any:
        factor = self.wrong.get("scale")
        return self.pyro.poutine.scale(scale=factor) if factor else nullcontext()

    def names(self) -> tuple[str, str]:
        """Of the guide's parameters."""
        return self.wrong.get("names", ("qa", "qb"))

    def programs(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Model and guide."""
        model, guide = LAYOUTS[self.style.layout](self)
        if self.style.prior == "module":
            model = self._module(model)
        if self.wrong.get("hidden"):
            guide = self.pyro.poutine.block(guide, hide_types=["sample"])
        kind = self.style.guide
        if kind.startswith("Auto"):
            return model, getattr(self.pyro.infer.autoguide, kind)(model)
        return model, {"own": guide, "empty": lambda: None}.get(kind, guide)

    def _module(self, program: Callable[[], Any]) -> Any:
        """Make the model a module whose attributes are the prior's parameters."""
        from pyro.nn import PyroModule, PyroParam

        class Model(PyroModule):
            def forward(self) -> Any:
                return program()

        model = self.kept["module"] = Model()
        positive = self.dist.constraints.positive
        model.alpha = PyroParam(self.tensor(2.0), constraint=positive)
        model.beta = PyroParam(self.tensor(5.0), constraint=positive)
        return model


# -- parametrisations of the prior -----------------------------------------------------------------


def _mean(hand: Hand) -> Any:
    return _of_mean(hand.parameter("m", 0.3, "unit_interval"), hand.parameter("s", 7.0))


def _of_mean(mean: Any, total: Any) -> Any:
    return mean * total, (1 - mean) * total


def _softplus(hand: Hand) -> Any:
    softplus = hand.torch.nn.functional.softplus
    return tuple(softplus(hand.parameter(x, v, "real")) for x, v in (("ra", 1.5), ("rb", 4.9)))


def _interval(hand: Hand) -> Any:
    between = hand.dist.constraints.interval(0.01, 100.0)
    return hand.parameter("a", 2.0, between), hand.parameter("b", 5.0, between)


def _symmetric(hand: Hand) -> Any:
    a = hand.parameter("a", 2.0)
    return a, a


PRIORS = {
    "positive": lambda h: (h.parameter("a", 2.0), h.parameter("b", 5.0)),
    "logs": lambda h: tuple(
        h.parameter(x, v, "real").exp() for x, v in (("log_a", 0.7), ("log_b", 1.6))
    ),
    "softplus": _softplus,
    "softplus_positive": lambda h: (
        h.parameter("a", 2.0, "softplus_positive"),
        h.parameter("b", 5.0, "softplus_positive"),
    ),
    "greater_than": lambda h: (
        h.parameter("a", 2.0, h.dist.constraints.greater_than(1.0)),
        h.parameter("b", 5.0, h.dist.constraints.greater_than(1.0)),
    ),
    "interval": _interval,
    "stacked": lambda h: tuple(h.parameter("ab", [2.0, 5.0])),
    "column": lambda h: (h.parameter("a", [2.0]), h.parameter("b", [5.0])),
    "mean": _mean,
    "module": lambda h: (h.kept["module"].alpha, h.kept["module"].beta),
    "one learned": lambda h: (h.parameter("a", 2.0), h.tensor(5.0)),
    "symmetric": _symmetric,
    "total held": lambda h: _of_mean(h.parameter("m", 0.3, "unit_interval"), h.tensor(7.0)),
    "fixed": lambda h: tuple(map(h.tensor, FIXED)),
}


# -- the guide's own concentrations ----------------------------------------------------------------

QA, QB = [4.0, 8.0, 15.0], [9.0, 6.0, 30.0]


def each(values: list[float]) -> list[float]:
    """Start of each latent: the same few over and over."""
    return np.resize(values, len(K)).tolist()


def _network(hand: Hand) -> Any:
    torch = hand.torch
    if "net" not in hand.kept:
        layers = torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2), torch.nn.Softplus()
        hand.kept["net"] = torch.nn.Sequential(*layers)
    hand.pyro.module("encoder", hand.kept["net"])
    x = torch.stack([hand.tensor(K), hand.tensor(N) - hand.tensor(K)], -1) / 10
    out = 10 * hand.kept["net"](x) + 1e-3
    return out[:, 0], out[:, 1]


def _positive(hand: Hand) -> Any:
    one, zero = hand.names()
    constraint = hand.wrong.get("constraint", "positive")
    starts = (QA, QB) if constraint == "positive" else ([0.99], [0.99])
    pairs = zip((one, zero), starts, strict=True)
    return tuple(hand.parameter(x, each(start), constraint) for x, start in pairs)


OWN = {
    "positive": _positive,
    "logs": lambda h: tuple(
        h.parameter(x, np.log(each(v)).tolist(), "real").exp()
        for x, v in (("lqa", QA), ("lqb", QB))
    ),
    "stacked": lambda h: tuple(h.parameter("q", [each(QA), each(QB)])),
    "last axis": lambda h: tuple(
        h.parameter("q", np.transpose([each(QA), each(QB)]).tolist())[:, i] for i in (0, 1)
    ),
    "one for all": lambda h: (h.parameter("qa", 4.0), h.parameter("qb", 9.0)),
    "network": _network,
    "prior": lambda h: h.concentrations("prior"),
    "posterior": lambda h: tuple(
        x + h.tensor(more)
        for x, more in zip(h.concentrations("prior"), (K, np.subtract(N, K).tolist()), strict=True)
    ),
}


# -- layouts ---------------------------------------------------------------------------------------


def _plate(hand: Hand, *, kind: str = "Binomial", size: int | None = None) -> Any:
    pyro, dist = hand.pyro, hand.dist

    def model() -> None:
        k, n = hand.tensor(K), hand.tensor(N)
        a, b = hand.concentrations("prior")
        with pyro.plate("g", len(K), subsample_size=size) as i, hand.everything():
            c = pyro.sample("c", dist.Beta(a, b))
            logits = {"logits": hand.torch.logit(c)} if kind == "logits" else {"probs": c}
            with hand.likelihood():
                likelihood = dist.Binomial(n[i], **logits)
                pyro.sample("k", likelihood, obs=hand.observed(k[i]))

    def guide() -> None:
        a, b = hand.concentrations("guide")
        with pyro.plate("g", len(K), subsample_size=size) as i, hand.everything():
            a, b = (x[i] if x.ndim else x for x in (a, b))
            pyro.sample("c", _of_guide(hand, a, b))

    return model, guide


def _of_guide(hand: Hand, a: Any, b: Any) -> Any:
    dist = hand.dist
    if hand.style.guide == "auxiliary":
        z = hand.pyro.sample("z", dist.Normal((a / b).log(), a / 10), infer={"is_auxiliary": True})
        c = hand.torch.sigmoid(z)
        jacobian = hand.tensor(0.0) if hand.wrong.get("no jacobian") else -(c * (1 - c)).log()
        return dist.Delta(c, jacobian)
    if hand.style.guide == "transformed":
        normal = dist.Normal(hand.parameter("loc", each([-0.7, 0.4, -0.2]), "real"), a / 10)
        return dist.TransformedDistribution(normal, [dist.transforms.SigmoidTransform()])
    return dist.Beta(a, b)


def _column(hand: Hand) -> Any:
    pyro, dist = hand.pyro, hand.dist

    def model() -> None:
        k, n = hand.tensor(K)[:, None], hand.tensor(N)[:, None]
        a, b = hand.concentrations("prior")
        with pyro.plate("g", len(K), dim=-2):
            c = pyro.sample("c", dist.Beta(a, b).expand([len(K), 1]))
            with hand.likelihood():
                pyro.sample("k", dist.Binomial(n, c), obs=hand.observed(k))

    def guide() -> None:
        a, b = (x[:, None] for x in hand.concentrations("guide"))
        with pyro.plate("g", len(K), dim=-2):
            pyro.sample("c", dist.Beta(a, b))

    return model, guide


def _event(hand: Hand) -> Any:
    pyro, dist = hand.pyro, hand.dist

    def model() -> None:
        k, n = hand.tensor(K), hand.tensor(N)
        if hand.wrong.get("column"):
            k, n = k[:, None], n[:, None]
        a, b = hand.concentrations("prior")
        c = pyro.sample("c", dist.Beta(a, b).expand([len(K)]).to_event(1))
        with hand.likelihood():
            pyro.sample("k", dist.Binomial(n, c).to_event(k.ndim), obs=hand.observed(k))

    def guide() -> None:
        pyro.sample("c", dist.Beta(*hand.concentrations("guide")).to_event(1))

    return model, guide


def _loop(hand: Hand, *, plate: bool = False) -> Any:
    pyro, dist = hand.pyro, hand.dist

    def rows() -> Any:
        return pyro.plate("g", len(K)) if plate else range(len(K))

    def model() -> None:
        k, n = hand.tensor(K), hand.tensor(N)
        a, b = hand.concentrations("prior")
        for i in rows():
            c = pyro.sample(f"c_{i}", dist.Beta(a, b))
            with hand.likelihood():
                pyro.sample(f"k_{i}", dist.Binomial(n[i], c), obs=hand.observed(k[i]))

    def guide() -> None:
        a, b = hand.concentrations("guide")
        for i in rows():
            pyro.sample(f"c_{i}", dist.Beta(*(x[i] if x.ndim else x for x in (a, b))))

    return model, guide


def _trials(hand: Hand) -> Any:
    pyro, dist = hand.pyro, hand.dist
    _, guide = _plate(hand)

    def model() -> None:
        a, b = hand.concentrations("prior")
        with pyro.plate("g", len(K), dim=-1):
            c = pyro.sample("c", dist.Beta(a, b))
            with pyro.plate("t", len(TRIALS), dim=-2), hand.likelihood():
                pyro.sample("x", dist.Bernoulli(c), obs=hand.observed(hand.tensor(TRIALS)))

    return model, guide


def _groups(hand: Hand) -> Any:
    pyro, dist = hand.pyro, hand.dist
    _, guide = _plate(hand)

    def model() -> None:
        k, n = map(hand.tensor, OF_GROUPS)
        a, b = hand.concentrations("prior")
        with pyro.plate("g", len(K)):
            c = pyro.sample("c", dist.Beta(a, b))
        with pyro.plate("rows", len(k)), hand.likelihood():
            pyro.sample("k", dist.Binomial(n, c[..., GROUPS]), obs=hand.observed(k))

    return model, guide


def _dirichlet(hand: Hand, *, kind: str = "Binomial") -> Any:
    """A Dirichlet of two, and of its rows counts of the first, or of both outcomes."""
    pyro, dist, torch = hand.pyro, hand.dist, hand.torch

    def rows(c: Any) -> tuple[Any, Any]:
        k, n = hand.tensor(K), hand.tensor(N)
        if kind == "Binomial":
            return dist.Binomial(n, c[..., 0]), k
        if kind == "OneHotCategorical":
            flips = hand.tensor(TRIALS)
            return dist.OneHotCategorical(c), torch.stack([flips, 1 - flips], -1)
        options = {"probs": c} if kind != "logits" else {"logits": c.log() + 0.7}
        total = {} if kind == "default" else {"total_count": max(N)}
        return dist.Multinomial(**options, **total, validate_args=False), torch.stack(
            [k, n - k], -1
        )

    def model() -> None:
        pair = torch.stack(hand.concentrations("prior"))
        trials = pyro.plate("t", len(TRIALS), dim=-2) if "Hot" in kind else nullcontext()
        with pyro.plate("g", len(K), dim=-1):
            c = pyro.sample("c", dist.Dirichlet(pair))
            with hand.likelihood(), trials:
                likelihood, observed = rows(c)
                pyro.sample("k", likelihood, obs=hand.observed(observed))

    def guide() -> None:
        pair = torch.stack(hand.concentrations("guide"), -1)
        with pyro.plate("g", len(K), dim=-1):
            pyro.sample("c", dist.Dirichlet(pair))

    return model, guide


def _affine(hand: Hand) -> Any:
    """A Beta that is moved by 0 and stretched by 1."""
    pyro, dist = hand.pyro, hand.dist
    _, guide = _plate(hand)

    def model() -> None:
        k, n = hand.tensor(K), hand.tensor(N)
        a, b = hand.concentrations("prior")
        with pyro.plate("g", len(K)), hand.everything():
            c = pyro.sample("c", dist.AffineBeta(a, b, hand.tensor(0.0), hand.tensor(1.0)))
            with hand.likelihood():
                pyro.sample("k", dist.Binomial(n, c), obs=hand.observed(k))

    return model, guide


def _masked(hand: Hand) -> Any:
    model, guide = _plate(hand)
    keep = hand.torch.tensor([i != 1 for i in range(len(K))])

    def kept(program: Any) -> Any:
        return lambda: hand.pyro.poutine.mask(program, mask=keep)()

    return kept(model), kept(guide)


def _marginal(hand: Hand, *, counted: bool = False) -> Any:
    pyro, dist = hand.pyro, hand.dist

    def model() -> None:
        k, n = hand.tensor(K), hand.tensor(N)
        a, b = hand.concentrations("prior")
        likelihood, observed = dist.BetaBinomial(a, b, n), k
        if counted:
            pair = hand.torch.stack([a, b])
            likelihood = dist.DirichletMultinomial(pair, max(N), validate_args=False)
            observed = hand.torch.stack([k, n - k], -1)
        with pyro.plate("g", len(K)), hand.likelihood():
            pyro.sample("k", likelihood, obs=hand.observed(observed))

    return model, lambda: None


LAYOUTS = {
    "plate": _plate,
    "logits": lambda h: _plate(h, kind="logits"),
    "minibatch": lambda h: _plate(h, size=min(2, len(K))),
    "column": _column,
    "event": _event,
    "loop": _loop,
    "sequential plate": lambda h: _loop(h, plate=True),
    "trials": _trials,
    "groups": _groups,
    "dirichlet": _dirichlet,
    "multinomial": lambda h: _dirichlet(h, kind="default"),
    "multinomial, largest": lambda h: _dirichlet(h, kind="probs"),
    "multinomial, logits": lambda h: _dirichlet(h, kind="logits"),
    "one hot": lambda h: _dirichlet(h, kind="OneHotCategorical"),
    "affine": _affine,
    "masked": _masked,
    "marginal": _marginal,
    "marginal, counted": lambda h: _marginal(h, counted=True),
}

PLATE = er.Counts(K, N)
COUNTS = dict.fromkeys(LAYOUTS, PLATE) | {
    "trials": er.Counts(TRIALS.sum(axis=0), len(TRIALS)),
    "groups": er.Counts([2, 5, 7], [12, 8, 15]),
    "one hot": er.Counts(TRIALS.sum(axis=0), len(TRIALS)),
    "masked": er.Counts([3, 12], [10, 40]),
}
"""The data of each layout, latent by latent."""

STYLES = {
    "plain": Style(),
    "plain, float64": Style(dtype="float64", particles=3, vectorize=True),
    "logs by hand": Style(prior="logs", own="logs", layout="logits"),
    "softplus by hand": Style(prior="softplus", own="last axis", particles=2),
    "softplus_positive": Style(prior="softplus_positive"),
    "greater_than": Style(prior="greater_than", dtype="float64"),
    "interval": Style(prior="interval"),
    "stacked": Style(prior="stacked", own="stacked", dtype="float64"),
    "columns": Style(prior="column", layout="column"),
    "mean and concentration": Style(prior="mean", dtype="float64", particles=2),
    "module": Style(prior="module", particles=4, vectorize=True),
    "one concentration learned": Style(prior="one learned"),
    "symmetric prior": Style(prior="symmetric", dtype="float64"),
    "concentration held": Style(prior="total held", dtype="float64"),
    "fixed prior": Style(prior="fixed"),
    "fixed prior, stacked": Style(prior="fixed", own="stacked", layout="event", dtype="float64"),
    "fixed prior, logs": Style(prior="fixed", own="logs", layout="loop"),
    "fixed prior, columns": Style(prior="fixed", own="last axis", layout="column", particles=2),
    "fixed prior, one for all": Style(prior="fixed", own="one for all", dtype="float64"),
    "fixed prior, AutoNormal": Style(prior="fixed", guide="AutoNormal", dtype="float64"),
    "to_event": Style(layout="event", dtype="float64"),
    "loop": Style(layout="loop", particles=2),
    "loop, stacked": Style(layout="loop", own="stacked", prior="stacked", loss="TraceGraph_ELBO"),
    "loop, one for all": Style(layout="loop", own="one for all", dtype="float64"),
    "sequential plate": Style(layout="sequential plate", loss="TraceGraph_ELBO"),
    "nested trials": Style(layout="trials"),
    "nested trials, vectorized": Style(layout="trials", particles=3, vectorize=True),
    "group numbers": Style(layout="groups", dtype="float64"),
    "group numbers, vectorized": Style(layout="groups", particles=3, vectorize=True),
    "dirichlet": Style(layout="dirichlet", dtype="float64"),
    "dirichlet, vectorized": Style(layout="dirichlet", particles=3, vectorize=True),
    "multinomial": Style(layout="multinomial"),
    "multinomial, vectorized": Style(layout="multinomial", particles=3, vectorize=True),
    "multinomial, largest total": Style(layout="multinomial, largest", dtype="float64"),
    "multinomial, logits": Style(layout="multinomial, logits", dtype="float64"),
    "one hot": Style(layout="one hot"),
    "affine": Style(layout="affine"),
    "masked": Style(layout="masked", dtype="float64"),
    "marginal": Style(layout="marginal", prior="mean", dtype="float64"),
    "marginal, float32": Style(layout="marginal"),
    "marginal, counted": Style(layout="marginal, counted"),
    "network": Style(own="network"),
    "one for all": Style(own="one for all", dtype="float64"),
    "tied": Style(own="prior", prior="logs"),
    "posterior": Style(own="posterior", dtype="float64"),
    "empty": Style(guide="empty", prior="mean"),
    "transformed": Style(guide="transformed", dtype="float64", particles=2),
    "auxiliary": Style(guide="auxiliary"),
    "auxiliary, vectorized": Style(guide="auxiliary", dtype="float64", particles=3, vectorize=True),
    "auxiliary, trials": Style(guide="auxiliary", layout="trials", prior="mean"),
    "AutoNormal": Style(guide="AutoNormal", prior="mean", loss="TraceMeanField_ELBO"),
    "AutoNormal, loop": Style(guide="AutoNormal", layout="loop", particles=2),
    "AutoNormal, trials": Style(guide="AutoNormal", layout="trials", dtype="float64"),
    "AutoDiagonalNormal": Style(guide="AutoDiagonalNormal", dtype="float64"),
    "AutoDiagonalNormal, loop": Style(guide="AutoDiagonalNormal", layout="loop", prior="logs"),
    "AutoDelta": Style(guide="AutoDelta", prior="fixed"),
    "AutoDelta, groups": Style(guide="AutoDelta", layout="groups", dtype="float64"),
    "AutoLaplaceApproximation": Style(guide="AutoLaplaceApproximation", dtype="float64"),
    "minibatch": Style(layout="minibatch", own="positive", dtype="float64"),
    "minibatch, empty": Style(layout="minibatch", guide="empty", prior="logs"),
    "mean field": Style(loss="TraceMeanField_ELBO", particles=3, vectorize=True),
}
