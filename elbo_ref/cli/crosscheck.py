"""``python -m elbo_ref.crosscheck``: a verdict on somebody's Pyro run.

Argument parsing and composition; no mathematics.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

from elbo_ref._format.documents import document, to_json
from elbo_ref._format.table import printable
from elbo_ref._format.terminal import has_colours
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.cli.console import (
    CANNOT_WRITE,
    FINE,
    guarded,
    refusals,
)
from elbo_ref.cli.delivery import Delivery
from elbo_ref.cli.live import LOSSES, Live, Settings, run_live
from elbo_ref.cli.options import (
    COLUMN,
    FILE,
    FLAG,
    LIST,
    PAIR,
    REAL,
    WHOLE,
    Options,
    command_parser,
    list_examples,
    optimizer_of,
    read_input,
)
from elbo_ref.cli.page import made_by
from elbo_ref.cli.places import check_places
from elbo_ref.counts import Counts
from elbo_ref.crosscheck import Verdict, cross_check
from elbo_ref.crosscheck.class_names import (
    GUIDE_CLASSES,
    OPTIMIZER_CLASSES,
    guide_name,
    loss_name,
    optimizer_name,
)
from elbo_ref.crosscheck.expressions import NamesError, split_pairs
from elbo_ref.crosscheck.findings import EXIT_CODES
from elbo_ref.crosscheck.readings import Framework
from elbo_ref.guides import GUIDES
from elbo_ref.io import datasets
from elbo_ref.io.errors import DataError
from elbo_ref.io.losses import read_numbers
from elbo_ref.objectives import OBJECTIVES, Renyi
from elbo_ref.recording import RecordingError
from elbo_ref.recording.replay.check import replay
from elbo_ref.report.page import html_page, page_of_verdicts
from elbo_ref.svi.optimizers import Adam, ClippedAdam

_DESCRIPTION = """\
Say whether somebody's Pyro or NumPyro numbers are what they are taken for: the parameters beside
the exact objective, evidence and optimum, the losses beside their own exact distribution, and,
where they do not agree, which mistake explains them."""

_EPILOG = """\
examples:
  python -m elbo_ref.crosscheck --example forum
  python -m elbo_ref.crosscheck counts.csv --params store.pt --losses losses.txt \\
      --names prior.concentration1=b0,prior.concentration0=a0 --num-particles 10
  python -m elbo_ref.crosscheck counts.csv --params params.json --evaluations losses.txt
  python -m elbo_ref.crosscheck counts.csv --recording run.npz
  python -m elbo_ref.crosscheck --live --example forum --guide empty
  python -m elbo_ref.crosscheck --live counts.csv --guide beta --num-steps 300

exit codes:
  0 agrees, 3 agrees but is not at an optimum, 4 a mistake, 5 too little to tell, 6 outside the
  model; 2 wrong usage, 65 unreadable, 66 no such input, 73 cannot print (the verdict is kept in a
  file that a message names), 130 interrupted; 1 is a bug"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return guarded(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    parser = crosscheck_parser()
    options = parser.parse_args(arguments)
    if options.example == LIST:
        list_examples()
        return FINE
    if options.example is not None and not any(getattr(options, name) for name in _HANDED_IN):
        _take_own_run(parser, options)
    given = [options.params is not None, options.recording is not None, options.live]
    if options.params is not None and options.recording is not None:
        parser.error(
            "give --params FILE, the numbers of a run, or --recording FILE, a run whose every step "
            "is noted and needs no parameters or losses beside it: one of the two"
        )
    if sum(given) != 1:
        parser.error(
            "give --params FILE, or --recording FILE, or --live to run Pyro here; "
            "--example forum alone takes a run that is bundled"
        )
    mode = ("params", "recording", "live")[given.index(True)]
    for option, modes in _FOR.items():
        if mode not in modes and getattr(options, option) is not None:
            needed = " or ".join(f"--{name}" for name in modes)
            parser.error(f"--{option.replace('_', '-')} goes with {needed}, not with --{mode}")
    check_places(parser, options)
    needs_counts = mode != "recording" or options.file is not None or options.example is not None
    data = read_input(parser, options, in_order=True) if needs_counts else None
    with refusals(parser, RecordingError):
        try:
            checked = _checked(options, data and data.counts)
        except NamesError as error:
            parser.error(f"--names{error.rule}")
    verdicts = [each.verdict if isinstance(each, Live) else each for each in checked]
    delivery = Delivery()
    title = printable(data.title if data else str(options.recording))
    if options.report is not None:
        page = page_of_verdicts(verdicts, title, made_by("check", options.given, data))
        delivery.write(options.report, html_page(page).encode(), options.force)
    if options.json:
        source = data.source if data else {"recording": str(options.recording)}
        body = {"input": source, "verdicts": [verdict.body() for verdict in verdicts]}
        delivery.print(to_json({**document("crosscheck"), **body}), ".json")
    else:
        colour = has_colours(sys.stdout)
        text = "\n\n".join(each.summary(colour=colour) for each in checked)
        delivery.print(f"{printable(title)}\n{text}\n", ".txt")
    if delivery.failed:
        return CANNOT_WRITE
    return max((verdict.exit_code for verdict in verdicts), key=[*EXIT_CODES.values()].index)


_HANDED_IN = ("params", "losses", "evaluations", "recording", "live")
"""The options by which a run is handed in; without any of them an example's own is taken."""


def _take_own_run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Hand in the run that is bundled with an example, as far as the options leave it open."""
    run = datasets.describe(options.example).run
    if run is None:
        known = (name for name in datasets.available() if datasets.describe(name).run)
        parser.error(
            f"--example {options.example} has counts and no run: add --params FILE and --losses "
            "FILE or --evaluations FILE, or --recording FILE, or --live to run Pyro here "
            f"(a run of its own has {', '.join(known)})"
        )
    for name, value in vars(run).items():
        if getattr(options, name) is None:
            setattr(options, name, value)


_FOR = {
    "losses": ("params",),
    "losses_column": ("params",),
    "evaluations": ("params",),
    "evaluations_column": ("params",),
    "names": ("params", "recording"),
    "num_particles": ("params", "live"),
    "alpha": ("params",),
    "framework": ("params",),
    "optimizer": ("params", "recording"),
    "lrd": ("params", "recording"),
    "dtype": ("params", "live"),
    "num_steps": ("live",),
    "fix_prior": ("params", "recording"),
    "subsample_size": ("params",),
    "seed": ("params", "live"),
}
"""The options that not all three take, and those that they go with."""


def _checked(options: argparse.Namespace, counts: Counts | None) -> Sequence[Verdict | Live]:
    """Check what was handed in; live, run the guide asked for, or both of the forum question's."""

    def given(*names: str) -> dict[str, Any]:
        values = {name: getattr(options, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    if options.live:
        settings = given(*Settings._fields)
        assert counts is not None
        guides = (options.guide,) if options.guide else ("beta", "empty")
        return [run_live(counts, Settings(**settings | {"guide": guide})) for guide in guides]
    common: dict[str, Any] = given("guide", "loss", "names") | {"prior": options.fix_prior}
    optimizer = _optimizer(options)
    if options.recording is not None:
        said = {"class": options.optimizer} if options.optimizer else {}
        said |= given("lr", "lrd")
        return [replay(options.recording, counts, **common, optimizer=said or None)]
    assert counts is not None
    common["optimizer"] = optimizer
    settings = given("num_particles", "dtype", "subsample_size", "framework")
    if options.alpha is not None:
        if common.get("loss") != "renyi":
            raise ValueError("--alpha goes with --loss renyi")
        common["loss"] = Renyi(options.alpha, settings.pop("num_particles", 2))
    for name in ("losses", "evaluations"):
        if getattr(options, f"{name}_column") is not None and getattr(options, name) is None:
            raise ValueError(f"--{name}-column goes with --{name} FILE")
    for name in given("losses", "evaluations"):
        settings[name] = _numbers(name, getattr(options, name), getattr(options, f"{name}_column"))
    return [cross_check(counts, options.params, rng=options.seed or 0, **common, **settings)]


def _numbers(option: str, path: Path, column: str | None) -> FloatArray:
    """Read losses; an error names the option that says their column."""
    try:
        return read_numbers(path, column)
    except DataError as error:
        said = {f"{option}_column": x for x in error.options.values()}
        raise DataError(error.text, when=error.when, **said) from None


def _optimizer(options: argparse.Namespace) -> Adam | ClippedAdam | str | None:
    """Make the optimizer that is claimed; its name where it is not known here, or has no rate."""
    optimizer = optimizer_of(
        options.optimizer, 0.1 if options.lr is None else options.lr, options.lrd
    )
    known = options.lr is not None and options.optimizer not in ("sgd", "other")
    return optimizer if known else options.optimizer


def _known(name: Callable[[str], str]) -> Callable[[str], str]:
    """Make the parser of a name that may also be a class of Pyro's."""

    def parsed(text: str) -> str:
        try:
            return name(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


def _names(text: str) -> dict[str, str]:
    """Parse roles and names, each pair joined by an equals sign."""
    pairs = [part.split("=", 1) for part in split_pairs(text)]
    for pair in pairs:
        if len(pair) != 2 or not all(pair):
            raise argparse.ArgumentTypeError(f"{'='.join(pair)!r} is not ROLE=NAME")
    names = {role.strip(): name.strip() for role, name in pairs}
    if len(names) < len(pairs):
        raise argparse.ArgumentTypeError(f"{text!r} gives a role twice")
    return names


_GROUPS: dict[str, Options] = {
    "what is checked": [
        (
            "--params",
            "parameters: written by Pyro's param_store.save or torch.save, or JSON or npz; one "
            "set, or a history with a leading axis of steps",
            FILE,
        ),
        (
            "--names",
            "which parameter is prior.concentration1, prior.concentration0, "
            "guide.concentration1, guide.loc, ...; also ab[0], exp(log_a), a number; prior.mean "
            "and prior.concentration; prior.concentrations for both in one",
            {"type": _names, "metavar": "ROLE=NAME,..."},
        ),
        (
            "--losses",
            "what each svi.step returned, in order: text, printed lines, csv, JSON or npy",
            FILE,
        ),
        ("--losses-column", "the column of them, where that is not clear", COLUMN),
        ("--evaluations", "losses at exactly these parameters", FILE),
        ("--evaluations-column", "the column of them, where that is not clear", COLUMN),
        (
            "--recording",
            "instead: a run that elbo_ref.recording has noted, to be replayed draw by draw",
            FILE,
        ),
        ("--live", "instead: run Pyro here, beside ours", FLAG),
    ],
    "how it was made": [
        (
            "--guide",
            f"the guide (beta; of a recording: what its sites say; live: beta and then empty): "
            f"{', '.join(GUIDES)}, or {', '.join(GUIDE_CLASSES)}",
            {"type": _known(guide_name), "metavar": "GUIDE"},
        ),
        (
            "--loss",
            f"the loss (trace; of a recording: what it says): {', '.join(OBJECTIVES)}, or its "
            f"class, as TraceMeanField_ELBO; live: {', '.join(LOSSES)}",
            {"type": _known(loss_name), "metavar": "LOSS"},
        ),
        ("--num-particles", "draws a step (1; renyi: samples, 2; live: 10)", WHOLE),
        ("--alpha", "of renyi (the one that the losses have)", REAL),
        ("--dtype", "what it computed in", {"choices": ("float32", "float64")}),
        (
            "--optimizer",
            f"{', '.join(OPTIMIZER_CLASSES)} (Adam; of a recording: what it says)",
            {"type": _known(optimizer_name), "metavar": "NAME"},
        ),
        ("--lr", "the learning rate; without it nothing is said of rates", REAL),
        ("--lrd", "by which ClippedAdam multiplies its learning rate at each step", REAL),
        (
            "--framework",
            "where a name has two meanings (what the store says, or both are tried)",
            {"choices": get_args(Framework)},
        ),
        ("--num-steps", "live: steps (100)", WHOLE),
        ("--fix-prior", "a prior that is not learned", PAIR),
        ("--subsample-size", "latents, or trials, a step", WHOLE),
        ("--seed", "of what is simulated (0)", WHOLE),
    ],
    "": [
        ("--json", "print the verdict as JSON", FLAG),
        ("--report", "also write it as one page: .html", FILE),
        ("--force", "overwrite the page", FLAG),
    ],
}


def crosscheck_parser() -> argparse.ArgumentParser:
    """Make the parser of the cross-check command."""
    return command_parser("elbo_ref.crosscheck", _DESCRIPTION, _EPILOG, _GROUPS)
