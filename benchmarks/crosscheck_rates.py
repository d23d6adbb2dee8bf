"""How often does `cross_check` name the mistake in a live Pyro run, and call a clean one wrong?

    python benchmarks/crosscheck_rates.py --output benchmarks/results/crosscheck_rates.txt

takes about two hours; mistakes may be run side by side, each with ``--only NAME``.

Runs of varied data, guide, loss, dtype and length are made by Pyro, clean or with one mistake of
`mistakes.py`, and handed in with the evidence of four levels: ``history`` (the parameters before
each step and all losses), ``evaluations`` (the final parameters and evaluations of the loss at
them), ``final`` (the final parameters and the losses of the run) and ``replay`` (a recording).
Runs are made until a hundred are counted at every level but ``final``.

A run counts for a mistake at a level if the mistake's effect is above six standard errors of the
evidence there: of the losses' exact means as they should be, m, and under the mistake, m', and the
larger of their exact variances, v, the *matched filter* sqrt(sum (m' - m)^2 / v). What is exact has
an infinite effect: steps of another optimizer, a shape, a sign that cannot be, all that a replay
compares; only `kernel_error` counts where it moves a gradient by an eighth of its noise. For a
decayed learning rate it is the log ratio of the late step lengths over the standard deviation of
those of six runs of ours. `named` counts the runs in which the verdict names the mistake, `first`
those in which as the likeliest, and `alone` those in which it says of no other one that the numbers
do not rule it out; `none` those in which it says that there is a mistake and gives it no name, with
what it may be, and `wrong` those in which it gives another name. The bound of named is Clopper and
Pearson's, one-sided, 95%.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import scipy
import torch
from mistakes import CLEAN, MISTAKES, ClippedDecay, OwnBatches, RareEvents, SmallConcentrations
from planted import Program, Recorded, Setting, at_level, record, verdict_at
from scipy import special, stats

import elbo_ref as er
from elbo_ref.crosscheck.alignment import align
from elbo_ref.crosscheck.assignment import assignments
from elbo_ref.crosscheck.distribution import loss_distribution
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.parameters import claims_of
from elbo_ref.crosscheck.shapes import other_latents
from elbo_ref.guides import find as find_guide
from elbo_ref.io.parameters import read_parameters
from elbo_ref.objectives import find as find_loss
from elbo_ref.recording.replay.kernel import torch_pathwise

ENOUGH = 6.0
LEVELS = ("history", "evaluations", "final", "replay")
GUIDES = ("beta", "beta", "beta", "beta_shared", "empty", "tied", "normal", "delta")


def rows(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, bool]:
    """Successes, total counts, and whether one latent is behind them all."""
    kind = rng.choice(["shared", "many", "extreme", "bernoulli", "bernoulli_each", "forum"])
    if kind == "forum":
        return np.array([0]), np.array([5000]), True
    if kind == "shared":
        n, c, shared = rng.integers(1, 61, rng.integers(1, 8)), rng.beta(2, 4), True
    elif kind == "many":
        n = rng.integers(1, 61, rng.integers(2, 31))
        c, shared = rng.beta(2, 4, n.size), False
    elif kind == "extreme":
        n = rng.integers(1, 2001, rng.integers(2, 11))
        c, shared = rng.beta(0.3, 0.3, n.size), bool(rng.random() < 0.3)
    elif kind == "bernoulli":
        n, c, shared = np.ones(rng.integers(5, 61), int), rng.beta(2, 4), True
    else:
        n = np.ones(rng.integers(5, 31), int)
        c, shared = rng.beta(2, 4, n.size), False
    return rng.binomial(n, c), n, shared


def settings(rng: np.random.Generator, longest: float) -> Iterator[Setting]:
    """Runs of all kinds, of 20 to 20 `longest` steps, without end."""
    while True:
        successes, total_count, shared = rows(rng)
        guide = str(rng.choice(GUIDES))
        losses = ["trace", "trace_graph"] + ["trace_mean_field"] * (guide.startswith("beta"))
        yield Setting(
            successes,
            total_count,
            shared,
            guide,
            str(rng.choice(losses)),
            str(rng.choice(["float32", "float64"])),
            float(10 ** rng.uniform(-2, -1)),
            int(20 * longest ** rng.random()),
            int(rng.choice([1, 1, 2, 5, 20])),
            int(rng.integers(2**31)),
            tuple(np.exp(rng.normal(0.5, 0.7, 4)).tolist()),
            evaluations=int(rng.integers(20, 51)),
        )


def given_model(arguments: dict[str, Any], dtype: str) -> LossModel | None:
    """The model that the numbers are taken for; None if the parameters alone refute it."""
    params = read_parameters(arguments["params"])
    counts, names = arguments["counts"], arguments.get("names")
    guide, prior = find_guide(arguments["guide"]), arguments.get("prior")
    claims = claims_of(params.values, guide, len(counts), names, prior)
    if other_latents(counts, claims, len(arguments.get("losses", ()))):
        return None
    assigned = assignments(counts, params, guide, names, prior)[0]
    if any(finding.status == "mistake" for finding in assigned.findings):
        return None
    return LossModel(
        counts=assigned.counts,
        guide=assigned.guide,
        loss=find_loss(arguments["loss"]),
        num_particles=arguments["num_particles"],
        prior=assigned.roles.prior,
        guide_parameters=assigned.roles.guide_parameters,
        dtype=dtype,
        prior_held=prior is not None,
    )


def recorded_runs(
    programs: list[type[Program]], source: Iterator[Setting]
) -> Iterator[tuple[type[Program], Setting, Recorded]]:
    """Each program in turn, in the next setting that it fits and that Pyro gets through."""
    for kind in itertools.cycle(programs):
        for setting in source:
            if not kind.fits(setting):
                continue
            try:
                recorded = record(kind, setting)
            except ValueError as error:  # a parameter is no number any more
                if "Expected parameter" not in str(error):
                    raise
                continue
            yield kind, setting, recorded
            break


def effect(program: Program, recorded: Recorded, level: str) -> float:
    """In standard errors of the evidence."""
    if level == "replay":
        return kernel_effect(recorded) if isinstance(program, RareEvents) else np.inf
    arguments = at_level(recorded, level)
    if isinstance(program, ClippedDecay):
        return decay_effect(program)
    if "final" not in program.levels:
        return np.inf
    given = given_model(arguments, program.setting.dtype)
    if given is None:
        return np.inf
    losses, repeated = (np.asarray(arguments.get(x, ())) for x in ("losses", "evaluations"))
    aligned = align(given, losses, repeated, arguments["optimizer"])
    rng = np.random.default_rng(0)
    planted = program.loss_model(aligned.model)
    if recorded.truth is not None:
        last = {name: rows[-1] for name, rows in recorded.truth.items()}
        true = given_model(arguments | {"params": last}, program.setting.dtype)
        planted = align(true, losses, repeated, arguments["optimizer"]).model
    (ours, rounding), (theirs, _) = (
        loss_distribution(model, rng) for model in (aligned.model, planted)
    )
    spread = np.maximum(ours.variance, theirs.variance)
    spread = spread + (rounding + aligned.losses.allowance) ** 2
    return float(np.sqrt(np.sum((theirs.mean - ours.mean) ** 2 / np.maximum(spread, 1e-300))))


def decay_effect(program: ClippedDecay) -> float:
    """The log ratio of late step lengths, over its standard deviation in runs of ours."""
    setting, lengths = program.setting, []
    late = slice(-(setting.steps // 4), None)
    a, b, *own = setting.start
    for seed in range(6):
        run = er.maximize_elbo(
            setting.counts,
            guide=er.Beta(*own) if setting.guide == "beta" else setting.guide,
            prior=er.Beta(a, b),
            optimizer=er.Adam(lr=setting.lr),
            num_steps=setting.steps,
            num_particles=setting.particles,
            rng=seed,
        )
        steps = np.diff(np.log(np.array(run.history.prior.arrays())))[:, late]
        lengths.append(np.log(np.mean(steps**2)) / 2)
    left = program.last ** np.linspace(0, 1, setting.steps)[late]
    return float(-np.log(np.mean(left**2)) / 2 / np.std(lengths, ddof=1))


def kernel_effect(recorded: Recorded) -> float:
    """Infinite if the kernel moves a gradient by more than an eighth of its standard deviation.

    At the very draws of the run, where all is known; a tenth is what the verdict goes by.
    """
    run, particles = recorded.recording, recorded.arguments["num_particles"]
    k, n = recorded.arguments["counts"].successes[0], recorded.arguments["counts"].total_count[0]
    prior, own = (
        np.array([run.constrained[f"{owner}.concentration{i}"].reshape(-1, 1) for i in "10"])
        for owner in ("prior", "guide")
    )
    c = run.draws["c"][:, :, 0]
    rest = 1 - c
    slope = (prior[0] - own[0] + k) * rest - (prior[1] - own[1] + n - k) * c
    exact = np.array(er.pathwise_gradient(np.log(c) - np.log1p(-c), *own))
    theirs = torch_pathwise(c, *own).slopes
    logs = np.array((np.log(c), np.log1p(-c))) - special.psi(own) + special.psi(own.sum(axis=0))
    noise = ((slope * exact - logs) * own).std(axis=(1, 2)) / np.sqrt(particles)
    bias = np.abs((slope * (theirs - exact) * own).mean(axis=(1, 2)))
    return np.inf if np.max(bias / noise) > 1 / 8 else 0.0


class Tally:
    """What came of the runs of one mistake at one level."""

    def __init__(self) -> None:
        self.runs = self.visible = self.named = self.first = self.alone = 0
        self.nameless = self.wrong = 0
        self.instead: collections.Counter[str] = collections.Counter()

    def add(self, name: str, strength: float, verdict: er.Verdict) -> None:
        self.runs += 1
        if strength <= ENOUGH:
            return
        self.visible += 1
        found = [x for first in verdict.having("mistake")[:1] for x in (first.name, *first.rivals)]
        self.named += name in found
        self.first += found[:1] == [name]
        self.alone += found == [name]
        self.nameless += found[:1] == ["loss_mismatch"]
        self.wrong += found[:1] not in ([], [name], ["loss_mismatch"])
        if found[:1] != [name]:
            self.instead[found[0] if found else verdict.outcome] += 1

    def line(self, name: str, level: str) -> str:
        share = self.named / self.visible if self.visible else float("nan")
        low = stats.beta.ppf(0.05, self.named, self.visible - self.named + 1) if self.named else 0.0
        instead = ", ".join(f"{key} {times}" for key, times in self.instead.most_common())
        text = f"{name:24}{level:13}{self.runs:6}{self.visible:8}{self.named:7}{share:8.3f}"
        text += f"{low:8.3f}{self.first:7}{self.alone:7}{self.nameless:7}{self.wrong:7}  {instead}"
        return text.rstrip()


HEAD = f"{'mistake':24}{'level':13}{'runs':>6}{'effect':>8}{'named':>7}{'share':>8}{'bound':>8}"


def planted(name: str, runs: int, seed: int) -> Iterator[str]:
    """The table of one mistake: until so many runs are counted at each level but ``final``."""
    programs = [program for program in MISTAKES if program.name == name]
    tallies = {level: Tally() for level in programs[0].levels}
    source = settings(np.random.default_rng(seed), 5.0)
    wanted = [tally for level, tally in tallies.items() if level != "final"]
    for kind, setting, recorded in itertools.islice(recorded_runs(programs, source), 5 * runs):
        program = kind(setting)
        for level, tally in tallies.items():
            if level == "final" or tally.visible < runs:
                verdict = verdict_at(recorded, level)
                tally.add(name, effect(program, recorded, level), verdict)
        if all(tally.visible >= runs for tally in wanted):
            break
    for level, tally in tallies.items():
        yield tally.line(name, level)


def some_batched(source: Iterator[Setting]) -> Iterator[Setting]:
    """Every fourth with minibatches, if it can have them."""
    for number, setting in enumerate(source):
        if number % 4 == 0 and OwnBatches.fits(setting):
            setting = setting._replace(batch=setting.rows // 3, particles=1)
        yield setting


def clean(runs: int, seed: int) -> Iterator[str]:
    """Clean runs at all levels: a run is called wrong if it is at any of them."""
    codes: collections.Counter[tuple[str, int]] = collections.Counter()
    wrong, saturated = collections.Counter(), 0
    source = some_batched(settings(np.random.default_rng(seed), 15.0))
    for kind, _, recorded in itertools.islice(recorded_runs([*CLEAN], source), runs):
        named = set()
        for level in kind.levels:
            verdict = verdict_at(recorded, level)
            codes[level, verdict.exit_code] += 1
            named |= set(verdict.mistakes)
        saturated += named == {SmallConcentrations.name}
        wrong.update(named - {SmallConcentrations.name})
    named_wrongly = ", ".join(f"{name} {times}" for name, times in wrong.items()) or "none"
    yield f"{runs} clean runs: called wrong {sum(wrong.values())} ({named_wrongly})"
    yield f"  beside, float32_saturation by itself: {saturated}"
    for level in LEVELS:
        found = ", ".join(f"{c}: {n}" for (at, c), n in sorted(codes.items()) if at == level)
        yield f"  exit codes, {level}: {found}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100, help="counted, of each mistake")
    parser.add_argument("--clean", type=int, default=200, help="clean runs")
    parser.add_argument("--only", help="one mistake, or clean")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    versions = {"Python": platform.python_version(), "NumPy": np.__version__}
    versions |= {"SciPy": scipy.__version__, "torch": torch.__version__, "Pyro": pyro.__version__}
    names = list(dict.fromkeys(program.name for program in MISTAKES))
    command = " ".join(["python", "benchmarks/crosscheck_rates.py", *sys.argv[1:]])
    with options.output.open("w") if options.output else sys.stdout as out:

        def tell(line: str) -> None:
            print(line, file=out, flush=True)

        tell(", ".join(f"{name} {version}" for name, version in versions.items()))
        tell(command + "\n")
        if options.only in (None, "clean"):
            for line in clean(options.clean, options.seed):
                tell(line)
        if options.only != "clean":
            tell(f"\n{HEAD}{'first':>7}{'alone':>7}{'none':>7}{'wrong':>7}  first instead")
        for name in names if options.only is None else [options.only]:
            if name in names:
                for line in planted(name, options.runs, options.seed + 1):
                    tell(line)


if __name__ == "__main__":
    main()
