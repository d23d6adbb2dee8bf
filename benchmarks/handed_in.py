"""Numbers of a Pyro program as a careful reader of docs/crosscheck.md hands them in.

The parameter store, its file, arrays, plain numbers, an npz, a ``state_dict`` or a history; losses,
evaluations of the loss at the end, or both; the counts, and what names do not say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyro
import torch
from program_rates import Running, programs

import elbo_ref as er

Arguments = dict[str, Any]
ROLES = ("concentration1", "concentration0")
PRIOR = ("a", "b", "log_a", "log_b", "ra", "rb", "ab", "m", "s", "alpha", "beta")
"""The prior's parameters in any style."""


class Kept(NamedTuple):
    """What somebody has of a run."""

    run: Running
    losses: list[float]
    evaluations: list[float]
    history: dict[str, np.ndarray]
    """Before each step and at the end."""
    free: dict[str, np.ndarray]
    """Unconstrained values at the end."""
    states: dict[str, np.ndarray]
    """Those of modules, by their ``state_dict``."""
    store: Any
    file: Path

    @property
    def style(self) -> programs.Style:
        return self.run.hand.style

    @property
    def final(self) -> dict[str, np.ndarray]:
        return {name: values[-1] for name, values in self.history.items()}


def values_now(run: Running) -> dict[str, np.ndarray]:
    """Parameters by name; those of a guide as it draws, where a store does not have them so."""
    hand, style = run.hand, run.hand.style
    now = {name: value.detach() for name, value in pyro.get_param_store().items()}
    if style.own == "network" and style.guide == "own":
        now = {name: value for name, value in now.items() if name in PRIOR}
        with torch.no_grad():
            now["qa"], now["qb"] = programs.OWN["network"](hand)
    if style.guide in ("transformed", "auxiliary"):
        now = {name: value for name, value in now.items() if name not in ("qa", "qb")}
        a, b = (pyro.param(name).detach() for name in ("qa", "qb"))
        now = {"loc": (a / b).log()} | now | {"scale": a / 10}
    if style.layout == "masked":
        rows = [i for i in range(len(programs.K)) if i != 1]
        now |= {name: now[name][rows] for name in ("qa", "qb")}
    return {name: np.array(value) for name, value in now.items()}


def kept_of(run: Running, steps: int, evaluations: int, folder: Path) -> Kept:
    """Run a program and keep everything that somebody might."""
    svi, rows, losses = run.svi, [], []
    svi.evaluate_loss()  # makes the parameters
    for _ in range(steps):
        rows.append(values_now(run))
        losses.append(float(svi.step()))
    rows.append(values_now(run))
    repeated = [float(svi.evaluate_loss()) for _ in range(evaluations)]
    store, file = pyro.get_param_store(), folder / "store.pt"
    store.save(str(file))
    modules = [x for x in (svi.model, svi.guide) if hasattr(x, "state_dict")]
    return Kept(
        run,
        losses,
        repeated,
        {name: np.stack([row[name] for row in rows]) for name in rows[0]},
        {name: np.array(value.detach()) for name, value in store.named_parameters()},
        {name: np.array(x) for module in modules for name, x in module.state_dict().items()},
        store,
        file,
    )


# -- what a careful person says --------------------------------------------------------------------


def names_of(style: programs.Style, *, history: bool, states: bool, together: bool) -> Arguments:
    """Roles of the parameters of a style; both concentrations of an array `together`, if so."""
    unsaid = "_unconstrained" if states else ""

    def pair(owner: str, one: str, zero: str) -> dict[str, str]:
        return {f"{owner}.{role}": name for role, name in zip(ROLES, (one, zero), strict=True)}

    def apart(owner: str, name: str, form: str) -> dict[str, str]:
        start = ":," * history
        return pair(owner, *(f"{name}[{start}{form.format(i)}]" for i in (0, 1)))

    prior = {
        "logs": pair("prior", "exp(log_a)", "exp(log_b)"),
        "softplus": pair("prior", "softplus(ra)", "softplus(rb)"),
        "stacked": {"prior.concentrations": "ab"} if together else apart("prior", "ab", "{}"),
        "mean": {"prior.mean": "m", "prior.concentration": "s"},
        "total held": {"prior.mean": "m", "prior.concentration": "7"},
        "module": pair("prior", f"alpha{unsaid}", f"beta{unsaid}"),
        "one learned": pair("prior", "a", "5.0"),
        "symmetric": pair("prior", "a", "a"),
        "fixed": {},
    }.get(style.prior, pair("prior", "a", "b"))
    without = style.guide == "empty" or style.own in ("prior", "posterior")
    if without or style.layout.startswith("marginal"):
        return prior
    site = "c_*" if style.layout in ("loop", "sequential plate") else "c"
    start = "" if states else "AutoNormal."
    automatic = {
        "AutoNormal": {
            "guide.loc": f"{start}locs.{site}{unsaid}",
            "guide.scale": f"{start}scales.{site}{unsaid}",
        },
        "AutoDiagonalNormal": {
            "guide.loc": "loc" if states else "AutoDiagonalNormal.loc",
            "guide.scale": f"scale{unsaid}" if states else "AutoDiagonalNormal.scale",
        },
        "AutoDelta": {"guide.probs": f"AutoDelta.{site}"},
        "AutoLaplaceApproximation": {"guide.logits": "AutoLaplaceApproximation.loc"},
        "transformed": {"guide.loc": "loc", "guide.scale": "scale"},
        "auxiliary": {"guide.loc": "loc", "guide.scale": "scale"},
    }
    own = {
        "logs": pair("guide", "exp(lqa)", "exp(lqb)"),
        "stacked": apart("guide", "q", "{}"),
        "last axis": apart("guide", "q", ":,{}"),
    }.get(style.own, pair("guide", "qa", "qb"))
    return prior | automatic.get(style.guide, own)


def guide_of(style: programs.Style) -> str:
    """The guide's name, or its class in Pyro."""
    classes = {"own": "beta", "transformed": "normal", "auxiliary": "normal"}
    named = classes.get(style.guide, style.guide)
    special = {"prior": "tied", "posterior": "conjugate"}
    return special.get(style.own, named) if "marginal" not in style.layout else "empty"


def counts_of(style: programs.Style, rng: np.random.Generator) -> er.Counts:
    """The data, in one of the forms that they may have."""
    k, n = np.array(programs.K), np.array(programs.N)
    if style.layout in ("trials", "one hot"):
        x, rows = programs.TRIALS, bool(rng.random() < 0.5)
        labels = np.broadcast_to(np.arange(x.shape[1]), x.shape).T.ravel()
        single = er.Counts.grouped(x.T.ravel(), 1, labels.tolist())
        return single if rows else er.Counts(x.sum(axis=0), len(x))
    if style.layout == "groups":
        order = np.argsort(programs.GROUPS, kind="stable")
        k, n, labels = (np.array(x)[order] for x in (*programs.OF_GROUPS, programs.GROUPS))
        return er.Counts.grouped(k, n, labels.tolist())
    rows = [i for i in range(len(k)) if i != 1 or style.layout != "masked"]
    return er.Counts(k[rows], n[rows])


def params_of(kept: Kept, form: str, *, history: bool, whole: bool) -> Any:
    """Parameters in a form; a history without its end unless it is to be `whole`."""
    style, values = kept.style, kept.history if history else kept.final
    if history and not whole:
        values = {name: rows[:-1] for name, rows in values.items()}
    if form == "states":
        module = PRIOR if style.prior == "module" else ()
        plain = {x: v for x, v in values.items() if x not in module and not x.startswith("Auto")}
        return plain | kept.states
    if form == "numbers":
        return {name: value.tolist() for name, value in values.items()}
    if form == "npz":
        file = kept.file.with_suffix(".npz")
        np.savez(file, **values)
        return file
    same = {*kept.final} == {*kept.store} and style.layout != "masked"
    if form in ("store", "file") and not history and same:
        return kept.store if form == "store" else kept.file
    return values


def handed_in(
    kept: Kept, rng: np.random.Generator, evidence: str, *, as_arrays: bool = False
) -> Arguments:
    """Arguments of `elbo_ref.cross_check` that are true of a run."""
    style, run, history = kept.style, kept.run, evidence == "history"
    forms = ["store", "file", "arrays", "numbers", "npz"]
    if kept.states and style.guide in ("own", "AutoNormal", "AutoDiagonalNormal") and not history:
        forms += ["states"] * len(forms)
    form = "arrays" if as_arrays else str(rng.choice(forms))
    several, guess, whole = rng.random(3) < (0.5, 0.3, 0.5)
    names = names_of(style, history=history, states=form == "states", together=several)
    if guess and style.guide.startswith("Auto") and form != "states" and "*" not in str(names):
        names = {x: y for x, y in names.items() if x.startswith("prior.")}
    made = {
        "Adam": er.Adam(lr=run.lr),
        "Adam, betas": er.Adam(lr=run.lr, betas=(0.95, 0.99)),
        "ClippedAdam": er.ClippedAdam(lr=run.lr, clip_norm=1.0, lrd=0.999),
    }
    digits = 2 if rng.random() < 0.1 else 16
    losses, repeated = (np.round(x, digits).tolist() for x in (kept.losses, kept.evaluations))
    steps_are_its_own = style.own != "network" and style.guide != "auxiliary"
    adam = made.get(run.optimizer) if steps_are_its_own and rng.random() < 0.6 else None
    batched = style.layout == "minibatch" and len(programs.K) > 2
    said = {
        "counts": counts_of(style, rng),
        "params": params_of(kept, form, history=history, whole=whole),
        "names": names,
        "guide": guide_of(style),
        "loss": style.loss,
        "num_particles": style.particles if rng.random() < 0.9 else None,
        "prior": er.Beta(*programs.FIXED) if style.prior == "fixed" else None,
        "subsample_size": 2 if batched else None,
        "optimizer": adam,
        "losses": losses if evidence != "evaluations" else None,
        "evaluations": repeated if evidence in ("evaluations", "both") else None,
    }
    return {key: value for key, value in said.items() if value is not None}
