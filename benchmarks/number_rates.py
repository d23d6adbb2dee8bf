"""Question: how often are numbers alone called wrong, and mistaken ones by their name?

Programs are drawn as in ``program_rates.py``, run in Pyro, and handed in as in ``handed_in.py``. A
mistake is in the program, in what is kept of it, or in what is said of it. Run
``python benchmarks/number_rates.py [CLEAN [MISTAKEN [SEED]]]``; needs Pyro. ``--only NUMBER`` makes
the clean run of that number alone, ``--only MISTAKE:NUMBER`` a mistaken one.

A mistaken run counts if the mistake has an effect: of the losses that can be compared, the exact
means under what is said and under the truth are six standard errors apart (the matched filter of
``crosscheck_rates.py``), or the logarithms of their exact variances are; and so for each way to
take what is said that is no mistake, as losses without the binomial coefficients. A mistake of
shapes or signs always counts.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyro
import scipy
import torch
from handed_in import PRIOR, ROLES, Arguments, Kept, handed_in, kept_of
from program_rates import draw_data, drawn_style, programs, running

import elbo_ref as er
from elbo_ref.crosscheck.alignment import AlignedLosses, align
from elbo_ref.crosscheck.class_names import guide_name, loss_name
from elbo_ref.crosscheck.distribution import rough_distribution
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.readings import HandedIn, readings_of
from elbo_ref.crosscheck.variants import other_meanings
from elbo_ref.guides import GUIDES, find as find_guide
from elbo_ref.io.parameters import read_parameters
from elbo_ref.objectives import find as find_loss

ENOUGH = 6.0
EVIDENCE = ("losses", "evaluations", "both", "both", "history")
Change = Callable[[Arguments, Kept, np.random.Generator], Arguments | None]


class Mistake(NamedTuple):
    """A mistake in a program, in what is kept of it, or in what is said of it."""

    fits: Callable[[programs.Style], bool]
    change: Change = lambda said, kept, rng: said
    """Of what is handed in; None where it cannot be made."""
    wrong: Callable[[], dict[str, Any]] = dict
    """In the program."""
    model: Callable[[LossModel], LossModel] = lambda model: model
    """Loss model of the numbers, of that which the right program would have had."""
    also: tuple[str, ...] = ()
    """Other names that are right."""


# -- styles in which a mistake can be made ---------------------------------------------------------


def anything(style: programs.Style) -> bool:
    return style.layout != "minibatch"


def with_guide(style: programs.Style) -> bool:
    without = "marginal" in style.layout or style.layout == "masked" or style.guide == "empty"
    return not without and anything(style)


def own_pair(style: programs.Style) -> bool:
    of_own = style.guide == "own" and style.own not in ("prior", "posterior", "network")
    return of_own and with_guide(style)


def traced(style: programs.Style) -> bool:
    return own_pair(style) and style.loss == "Trace_ELBO"


def positive(style: programs.Style) -> bool:
    return own_pair(style) and style.prior == style.own == "positive"


def batched(style: programs.Style) -> bool:
    return style.layout == "minibatch" and style.guide == "own" and len(programs.K) > 2


# -- what is handed in -----------------------------------------------------------------------------


def swap(said: Arguments, kept: Kept, rng: np.random.Generator) -> Arguments | None:
    if rng.random() < 0.25:
        return said | {"counts": er.Counts(said["counts"].failures, said["counts"].total_count)}
    names = dict(said.get("names", {}))
    owners = [x for x in ("prior", "guide") if {f"{x}.{role}" for role in ROLES} <= {*names}]
    for owner in [owners, owners[:1], owners[-1:]][int(rng.integers(3))]:
        one, zero = (f"{owner}.{role}" for role in ROLES)
        names[one], names[zero] = names[zero], names[one]
    return said | {"names": names} if owners else None


def other_counts(said: Arguments, kept: Kept, rng: np.random.Generator) -> Arguments:
    k, n = said["counts"].successes, said["counts"].total_count
    changed = [np.clip(k + rng.integers(-3, 4, k.size), 0, n), np.minimum(k, 1)]
    return said | {"counts": er.Counts(changed[int(rng.integers(2))], n)}


def other_totals(said: Arguments, kept: Kept, rng: np.random.Generator) -> Arguments:
    k, n = said["counts"].successes, said["counts"].total_count
    changed = [np.full_like(n, n.max()), n + k, n + 1, n + rng.integers(0, 9, n.size)]
    return said | {"counts": er.Counts(k, changed[int(rng.integers(4))])}


def other_order(said: Arguments, kept: Kept, rng: np.random.Generator) -> Arguments:
    k, n = said["counts"].successes, said["counts"].total_count
    orders = [np.arange(k.size)[::-1], np.argsort(k), rng.permutation(k.size)]
    order = orders[int(rng.integers(3))]
    return said | {"counts": er.Counts(k[order], n[order])}


def other_particles(said: Arguments, kept: Kept, rng: np.random.Generator) -> Arguments:
    told = {1: (5, 10, 100), 2: (1, 10, 20), 5: (1, 1, 50)}[kept.style.particles]
    return said | {"num_particles": int(rng.choice(told))}


def other_guide(said: Arguments, kept: Kept, rng: np.random.Generator) -> Arguments | None:
    names, told = dict(said.get("names", {})), {"guide.probs": "delta", "guide.logits": "laplace"}
    own = {x: names.pop(x) for x in (*names,) if x.startswith("guide.")}
    points = {
        "guide.loc": ("guide.logits", "{}"),
        "guide.logits": ("guide.probs", "sigmoid({})"),
        "guide.probs": ("guide.logits", "logit({})"),
    }
    for role, (taken, form) in points.items():
        if role in own:
            return said | {"names": names | {taken: form.format(own[role])}, "guide": told[taken]}
    if kept.style.guide.startswith("Auto"):
        return None
    return said | {"names": names, "guide": str(rng.choice(["empty", "tied", "conjugate"]))}


def other_loss(said: Arguments, kept: Kept, rng: np.random.Generator) -> Arguments:
    mean_field = kept.style.loss == "TraceMeanField_ELBO"
    return said | {"loss": "Trace_ELBO" if mean_field else "TraceMeanField_ELBO"}


def other_prior(said: Arguments, kept: Kept, rng: np.random.Generator) -> Arguments:
    a, b = programs.FIXED
    told = [(1, 1), (2, 2), (b, a + b), (a + 1, b), (a / 2, b / 2)][int(rng.integers(5))]
    return said | {"prior": er.Beta(*told)}


def mixed(said: Arguments, kept: Kept, rng: np.random.Generator) -> Arguments:
    of_prior = bool(rng.random() < 0.5)
    old = {x: rows[0] for x, rows in kept.history.items() if (x in PRIOR) is of_prior}
    return said | {"params": kept.final | old}


def free_values(said: Arguments, kept: Kept, rng: np.random.Generator) -> Arguments:
    names = [("a", "b", "qa", "qb"), ("a", "b"), ("qa", "qb")][int(rng.integers(3))]
    return said | {"params": kept.final | {name: kept.free[name] for name in names}}


def of_losses(change: Callable[[np.ndarray], Any]) -> Change:
    def changed(said: Arguments, kept: Kept, rng: np.random.Generator) -> Arguments:
        kinds = [x for x in ("losses", "evaluations") if x in said]
        return said | {kind: change(np.array(said[kind])).tolist() for kind in kinds}

    return changed


# -- the mistakes ----------------------------------------------------------------------------------


def trials() -> int:
    return max(sum(programs.N), 2)


def hidden(model: LossModel) -> LossModel:
    still = np.zeros((0, *model.guide_parameters.shape[1:]))
    return model._replace(guide=GUIDES["empty"], guide_parameters=still)


def weighted(weight: float) -> Mistake:
    return Mistake(
        with_guide,
        wrong=lambda: {"likelihood": weight},
        model=lambda model: model._replace(likelihood_weight=weight),
    )


MISTAKES = {
    "swapped_concentrations": Mistake(anything, swap, also=("wrong_counts",)),
    "wrong_counts": Mistake(anything, other_counts),
    "wrong_total_count": Mistake(anything, other_totals),
    "permuted_rows": Mistake(with_guide, other_order),
    "wrong_num_particles": Mistake(with_guide, other_particles),
    "another_guide": Mistake(with_guide, other_guide),
    "another_loss": Mistake(with_guide, other_loss, also=("other_objective",)),
    "wrong_fixed_prior": Mistake(lambda x: x.prior == "fixed" and anything(x), other_prior),
    "mixed_parameters": Mistake(
        lambda x: own_pair(x) and x.prior not in ("fixed", "total held"), mixed
    ),
    "likelihood_weight, 0.1": weighted(0.1),
    "likelihood_weight, 3": weighted(3.0),
    "normalised_loss": Mistake(
        anything,
        of_losses(lambda x: x / trials()),
        model=lambda model: model._replace(factor=1 / trials()),
    ),
    "wrong_sign": Mistake(
        anything, of_losses(np.negative), model=lambda model: model._replace(factor=-1.0)
    ),
    "unexplained_constant": Mistake(
        anything,
        of_losses(lambda x: x + 7.25),
        model=lambda model: model._replace(constant=model.constant + 7.25),
    ),
    "observations_missing": Mistake(
        traced,
        wrong=lambda: {"unobserved": True},
        model=lambda model: model._replace(observed=False),
    ),
    "latent_not_in_guide": Mistake(traced, wrong=lambda: {"hidden": True}, model=hidden),
    "subsample_unscaled": Mistake(
        batched,
        wrong=lambda: {"scale": 2 / len(programs.K)},
        model=lambda model: model._replace(batch_scale=1.0),
    ),
    "subsample_scaled_twice": Mistake(
        batched,
        wrong=lambda: {"scale": len(programs.K) / 2},
        model=lambda model: model._replace(batch_scale=model.batch_scale**2),
    ),
    "unconstrained_values": Mistake(positive, free_values),
}
"""Each by its name, which a comma ends."""


# -- runs ------------------------------------------------------------------------------------------


def made(
    rng: np.random.Generator, folder: Path, mistake: Mistake | None = None
) -> Iterator[tuple[str, Kept, Arguments, Arguments]]:
    """Draw programs without end: the style, what is kept, what is true of it, and what is said."""
    while True:
        draw_data(rng)
        name, style = drawn_style(rng)
        if mistake is not None and not mistake.fits(style):
            continue
        with running(rng, style, mistake.wrong() if mistake else {}) as run:
            looped = "loop" in style.layout or style.layout == "sequential plate"
            steps = int(rng.choice([20, 60] if looped else [20, 60, 200]))
            kept = kept_of(run, steps, int(rng.integers(20, 41)), folder)
            evidence = str(rng.choice(EVIDENCE))
            of_values = mistake is not None and mistake.change in (mixed, free_values)
            if of_values and evidence == "history":
                continue
            true = handed_in(kept, rng, evidence, as_arrays=of_values)
            said = mistake.change(true, kept, rng) if mistake else true
            if said is not None:
                yield name, kept, true, said


def model_of(said: Arguments) -> LossModel | None:
    """Loss model that the verdict begins with; None if shapes or signs alone refute it."""
    guide, loss = said.get("guide", "beta"), said.get("loss", "trace")
    losses, evaluations = (np.array(said.get(x, ())) for x in ("losses", "evaluations"))
    handed = HandedIn(
        counts=said["counts"],
        given=read_parameters(said["params"]),
        guide=find_guide(guide_name(guide)),
        loss=find_loss(loss_name(loss)),
        order_said=True,
        num_particles=said.get("num_particles"),
        losses=losses,
        evaluations=evaluations,
        names=said.get("names"),
        prior=said.get("prior"),
        dtype=None,
        subsample_size=said.get("subsample_size"),
        framework=None,
    )
    reading = readings_of(handed, 0)[0]
    return None if any(x.status == "mistake" for x in reading.findings) else reading.model


def effect(mistake: Mistake, kept: Kept, true: Arguments, said: Arguments) -> float:
    """In standard errors of the evidence."""
    losses, evaluations = (np.array(said.get(x, ())) for x in ("losses", "evaluations"))
    right = model_of(true | {"num_particles": kept.style.particles})
    try:
        wrong = model_of(said)
    except ValueError:
        wrong = None
    if wrong is None or right is None:
        return np.inf
    truth = align(mistake.model(right), losses, evaluations, said.get("optimizer"))
    claims = [wrong, *(x.model for x in other_meanings(wrong))]
    given = [align(x, losses, evaluations, said.get("optimizer")) for x in claims]
    return min(0.0 if x is None or truth is None else _apart(x, truth) for x in given)


def _apart(given: AlignedLosses, truth: AlignedLosses) -> float:
    """Standard errors by which losses of two models differ, in their means or their spread."""
    rng = np.random.default_rng(0)
    (ours, rounding), (theirs, _) = (rough_distribution(x.model, rng) for x in (given, truth))
    noise = (rounding + given.losses.allowance) ** 2 + 1e-300
    spread = np.maximum(ours.variance, theirs.variance) + noise
    apart = np.sum((theirs.mean - ours.mean) ** 2 / spread)
    ratio = np.log((theirs.variance + noise) / (ours.variance + noise))
    return float(max(np.sqrt(apart), np.abs(ratio.mean()) * np.sqrt(ratio.size / 2)))


class Judged(NamedTuple):
    """What came of a run."""

    what: str
    seconds: float
    text: str


def judge(said: Arguments, right: tuple[str, ...]) -> Judged:
    """Have a run judged: right, none, wrong, missed or refused."""
    start = time.process_time()
    try:
        verdict = er.cross_check(**said)
    except (ValueError, TypeError) as error:
        return Judged("refused", time.process_time() - start, str(error))
    seconds = time.process_time() - start
    found = verdict.having("mistake")
    certain = {x.name for x in found if not {*x.rivals} & {*right}} - {"loss_mismatch"}
    if not found:
        what = "too little" if verdict.exit_code in (5, 6) else "missed"
    elif found[0].name in right:
        what = "right"
    else:
        what = "wrong" if certain - {*right} else "none"
    lines = "; ".join(x.line() for x in found or verdict.findings[:3])
    return Judged(what, seconds, f"{verdict.outcome}: {lines}")


def shown(said: Arguments) -> str:
    """What was said, without the long numbers."""
    kept = {key: x for key, x in said.items() if key not in ("losses", "evaluations", "params")}
    kept["params"] = type(said["params"]).__name__
    return str(kept | {key: len(said[key]) for key in ("losses", "evaluations") if key in said})


def clean(number: int, seed: int, folder: Path) -> tuple[str, Judged]:
    """Judge a clean run."""
    with contextlib.closing(made(np.random.default_rng([seed, number]), folder)) as runs:
        name, kept, _, said = next(runs)
        return f"{name}, {kept.style}, {shown(said)}", judge(said, ())


def planted(what: str, number: int, seed: int, folder: Path) -> tuple[str, Judged]:
    """Judge a run with a mistake that has an effect."""
    mistake, kind = MISTAKES[what], [*MISTAKES].index(what)
    rng = np.random.default_rng([seed, number, kind])
    with contextlib.closing(made(rng, folder, mistake)) as runs:
        for name, kept, true, said in runs:
            if effect(mistake, kept, true, said) > ENOUGH:
                right = (what.partition(",")[0], *mistake.also)
                return f"{name}, {kept.style}, {shown(said)}", judge(said, right)
    raise AssertionError


def table(found: dict[str, collections.Counter[str]]) -> Iterator[str]:
    """A line for each mistake, and one for all."""
    found["all"] = sum(found.values(), collections.Counter[str]())
    kinds = ("right", "none", "wrong", "missed", "too little", "refused")
    yield f"{'':24}{'runs':>6}" + "".join(f"{kind:>12}" for kind in kinds)
    for name, counter in found.items():
        line = "".join(f"{counter[kind]:12}" for kind in kinds)
        yield f"{name:24}{counter.total():6}{line}"


def main() -> None:
    """Draw, run and judge; print the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, number in (("clean", 300), ("mistaken", 200), ("seed", 0)):
        parser.add_argument(name, type=int, nargs="?", default=number)
    parser.add_argument("--only", help="NUMBER of a clean run, or MISTAKE:NUMBER")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    versions = {"Python": platform.python_version(), "NumPy": np.__version__}
    versions |= {"SciPy": scipy.__version__, "torch": torch.__version__, "Pyro": pyro.__version__}
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    print(f"seed {options.seed}, {len(programs.STYLES)} styles", flush=True)
    seconds, outcomes = list[float](), collections.Counter[str]()
    found = {what: collections.Counter[str]() for what in MISTAKES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only:
            what, _, number = options.only.rpartition(":")
            run = (int(number), options.seed, folder)
            print(*(planted(what, *run) if what else clean(*run)), sep="\n")
            return
        for number in range(options.clean):
            run, judged = clean(number, options.seed, folder)
            seconds.append(judged.seconds)
            outcomes["called a mistake" if judged.what in ("none", "wrong") else judged.what] += 1
            if judged.what not in ("missed", "too little"):
                print(f"  clean {number}: {judged.text}\n    {run}", flush=True)
        outcomes["genuine"] = outcomes.pop("missed", 0)
        print(f"clean: {options.clean} programs, {dict(outcomes)}")
        for number in range(options.mistaken):
            what = [*MISTAKES][number % len(MISTAKES)]
            run, judged = planted(what, number, options.seed, folder)
            seconds.append(judged.seconds)
            found[what][judged.what] += 1
            if judged.what not in ("right", "none"):
                print(f"  {what}:{number}: {judged.what}: {judged.text}\n    {run}", flush=True)
    print("\n".join(table(found)))
    print(f"seconds of a verdict: {np.mean(seconds):.2f}, the slowest {max(seconds):.2f}")


if __name__ == "__main__":
    main()
