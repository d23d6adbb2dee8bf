"""``python -m elbo_ref.fit``: what SVI does to the model-side parameters of a Beta-Binomial model.

Argument parsing and composition; no mathematics.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from elbo_ref import atomic, datasets
from elbo_ref.adam import Adam
from elbo_ref.arguments import count
from elbo_ref.beta import Beta
from elbo_ref.checkpoint import Checkpoint, CheckpointError
from elbo_ref.climb import Climb
from elbo_ref.console import (
    BAD_DATA,
    CANNOT_WRITE,
    FINE,
    INTERRUPTED,
    NO_INPUT,
    NOT_CONVERGED,
    CommandError,
    Interrupts,
    Progress,
    guarded,
    printable,
    say,
)
from elbo_ref.coordinates import NAMES
from elbo_ref.counts import Counts
from elbo_ref.diagnosis import Diagnosis, diagnose
from elbo_ref.documents import to_json
from elbo_ref.estimates import EstimateTable, estimate_table
from elbo_ref.guides import GUIDES as FAMILIES
from elbo_ref.inputs import LIST, Input, add_counts_arguments, read_input
from elbo_ref.maximum import EvidenceMaximum, maximize_evidence
from elbo_ref.objectives import OBJECTIVES
from elbo_ref.objectives.trace import MOST_DRAWS
from elbo_ref.report import comparison, fit_document, posteriors_csv, save_figure
from elbo_ref.run import Run
from elbo_ref.svi import begin
from elbo_ref.version import __version__

GUIDES = ("beta", "empty", "tied")

_MANY_DRAWS = 1_000_000

_DESCRIPTION = """\
Fit c ~ Beta(concentration1, concentration0), successes ~ Binomial(total_count, c) by SVI, with both
concentrations learnable, under a full Beta guide, an empty guide and a guide tied to the prior; and
say of each what it really maximises, where that leads, and how far this run has come."""

_EPILOG = """\
guides:
  beta   a Beta of its own for each latent: maximises the ELBO, which leads to the evidence
  empty  no guide: c is drawn in the model; not an ELBO, and unbounded
  tied   the prior is the guide: leads to the pooled binomial likelihood
  none   no latent: c is a parameter of each row, the classical likelihood
  beta_shared         one Beta for all latents; an ELBO, but it leads where tied does
  conjugate           the exact posterior: every step is exact; conjugate_detached: with noise
  normal              a normal on the logit, as AutoNormal: an ELBO with a gap
  delta, laplace      a point, as AutoDelta and AutoLaplaceApproximation: not an ELBO

losses:
  trace               Trace_ELBO; trace_graph and trace_enum are the same here
  trace_mean_field    the divergence in closed form
  sticking_the_landing, score_function, renyi         see docs/guides.md
  exact               the closed form, without draws

examples:
  python -m elbo_ref.fit --example forum           the experiment of the Pyro forum's question
  python -m elbo_ref.fit counts.csv                one latent per row of successes,total_count
  python -m elbo_ref.fit counts.csv --group ward   one latent per ward
  python -m elbo_ref.fit counts.csv --exact        is there an MLE of the prior, and where
  python -m elbo_ref.fit counts.csv --estimates    every estimate beside every other
  cut -f 2,5 wide.tsv | python -m elbo_ref.fit - --successes hits --total-count shots
  python -m elbo_ref.fit counts.csv --guide beta --loss exact --num-steps 3000 --output fit.json

exit codes:
  0 fine, 2 wrong usage, 3 not converged (with --require-converged), 65 bad data, 66 no such input,
  73 cannot write, 130 interrupted; 1 is a bug"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return guarded(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.example == LIST:
        _list_examples()
        return FINE
    guides = _guides(parser, options)
    _check_files(parser, options)
    data = read_input(parser, options)
    if options.exact or options.estimates:
        return _answer(parser, options, data)
    climbs = {guide: _begin(parser, options, guide, data.counts) for guide in guides}
    saving = Checkpoint(options.checkpoint, climbs, options.num_steps)
    if options.resume:
        _take_up(parser, saving, options.checkpoint)
    _warn(options, data.counts)
    with Interrupts() as interrupts:
        diagnoses = _climb(options, saving, interrupts)
        left = [guide for guide in guides if guide not in [d.run.guide_name for d in diagnoses]]
        document = fit_document(diagnoses, data.source, left)
        if options.output is not None:
            csv = options.output.suffix == ".csv"
            text = posteriors_csv(diagnoses) if csv else to_json(document)
            _write(options.output, text.encode(), options.force)
        if options.plot is not None:
            picture = io.BytesIO()
            save_figure(diagnoses, picture, options.plot.suffix[1:])
            _write(options.plot, picture.getvalue(), options.force)
        text = comparison(printable(data.title), diagnoses, data.names) + "\n"
        sys.stdout.write(to_json(document) if options.json else text)
        sys.stdout.flush()
    if document["interrupted"]:
        say("interrupted" + (f" before guide {', '.join(left)}" if left else ""))
        return INTERRUPTED
    away = [d.run.guide_name for d in diagnoses if d.run.stopped != "converged"]
    if options.require_converged and away:
        say(f"not converged: {', '.join(away)}")
        return NOT_CONVERGED
    return FINE


def _answer(parser: argparse.ArgumentParser, options: argparse.Namespace, data: Input) -> int:
    """What needs no run: the evidence's maximum, or the table of estimates."""
    result: EvidenceMaximum | EstimateTable
    if options.exact:
        result = maximize_evidence(data.counts)
    else:
        try:
            result = estimate_table(data.counts, options.fix_prior or options.init_prior)
        except ValueError as error:
            parser.error(str(error))
    text = to_json({**result.to_dict(), "input": data.source})
    if options.output is not None:
        _write(options.output, text.encode(), options.force)
    shown = f"{printable(data.title)}\n{result.summary()}\n"
    sys.stdout.write(text if options.json else shown)
    sys.stdout.flush()
    return FINE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m elbo_ref.fit",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"elbo_ref {__version__}")
    add_counts_arguments(parser)
    instead = parser.add_argument_group("instead of a fit").add_mutually_exclusive_group()
    instead.add_argument(
        "--exact", action="store_true", help="the evidence's maximum, or that there is none; proven"
    )
    instead.add_argument(
        "--estimates",
        action="store_true",
        help="MLE, MAP, posterior mean, empirical Bayes and where each guide leads",
    )
    how = parser.add_argument_group("fit (the defaults are the forum question's)")
    how.add_argument(
        "--guide",
        choices=(*FAMILIES, "all"),
        default="all",
        metavar="GUIDE",
        help="which of those below, or all: beta, empty and tied (all)",
    )
    how.add_argument(
        "--loss",
        choices=tuple(OBJECTIVES),
        default="trace",
        metavar="LOSS",
        help="trace: Monte Carlo, as Pyro's Trace_ELBO (the default); exact: the closed form; or "
        "another of those below",
    )
    how.add_argument("--lr", type=float, default=0.1, help="Adam's learning rate (0.1)")
    how.add_argument("--num-steps", type=int, default=100, metavar="N", help="steps (100)")
    how.add_argument(
        "--num-particles", type=int, default=10, metavar="N", help="draws a step, for trace (10)"
    )
    how.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (0)")
    prior = how.add_mutually_exclusive_group()
    pair: dict[str, Any] = {"type": _pair, "metavar": "C1,C0"}
    prior.add_argument("--init-prior", **pair, help="where the prior's concentrations start (1,1)")
    prior.add_argument("--fix-prior", **pair, help="what they are; they are then not learned")
    how.add_argument("--learn", choices=NAMES, help="learn only this concentration of the prior")
    how.add_argument("--init-guide", **pair, help="where the Beta guide starts (1,1)")
    out = parser.add_argument_group("result")
    out.add_argument("--json", action="store_true", help="print the result as JSON")
    out.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="also write it: .json everything, .csv the posterior of each latent",
    )
    out.add_argument("--plot", type=Path, metavar="FILE", help="also draw it: .png or .svg")
    out.add_argument("--checkpoint", type=Path, metavar="FILE", help="save the run as it goes")
    out.add_argument(
        "--resume",
        action="store_true",
        help="go on from the checkpoint, if it is there; more steps than before are fine",
    )
    out.add_argument("--force", action="store_true", help="overwrite files")
    out.add_argument("--quiet", action="store_true", help="no warnings and no progress line")
    out.add_argument(
        "--require-converged",
        action="store_true",
        help="exit with 3 unless every run has converged",
    )
    return parser


def _pair(text: str) -> Beta:
    """Two concentrations, separated by a comma."""
    try:
        concentration1, concentration0 = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not two numbers, concentration1,concentration0"
        ) from None
    try:
        return Beta(concentration1, concentration0)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _list_examples() -> None:
    width = max(map(len, datasets.available()))
    for name in datasets.available():
        print(f"{name:{width}}  {datasets.describe(name).title}")


def _guides(parser: argparse.ArgumentParser, options: argparse.Namespace) -> tuple[str, ...]:
    """The guides to run: all that have something to learn, or the one asked for."""
    if options.exact or options.estimates:
        _refuse_run_options(parser, options)
    if options.init_guide is not None and options.guide not in ("beta", "all"):
        parser.error(f"--init-guide is for a Beta guide, not for --guide {options.guide}")
    if options.resume and options.checkpoint is None:
        parser.error("--resume needs --checkpoint FILE")
    if options.learn is not None and options.fix_prior is not None:
        parser.error("--learn and --fix-prior exclude each other: --init-prior says where to start")
    if options.guide != "all":
        return (options.guide,)
    return GUIDES if options.fix_prior is None else ("beta",)


def _refuse_run_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """What belongs to a run only would be ignored; say so instead."""
    which = "--exact" if options.exact else "--estimates"
    names = [
        "guide",
        "loss",
        "learn",
        "lr",
        "num_steps",
        "num_particles",
        "seed",
        "init_guide",
        "plot",
    ]
    names += ["checkpoint", "resume", "require_converged"]
    if options.exact:
        names += ["init_prior", "fix_prior"]
    given = [name for name in names if getattr(options, name) != parser.get_default(name)]
    if given:
        parser.error(f"--{given[0].replace('_', '-')} is for a fit, not for {which}")
    if options.output is not None and options.output.suffix == ".csv":
        parser.error(f"--output FILE.csv is for a fit; {which} writes .json")


def _check_files(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse files that could not be written in the end, before anything is done."""
    for name, endings in (("output", (".json", ".csv")), ("plot", (".png", ".svg"))):
        path = getattr(options, name)
        if path is not None and path.suffix not in endings:
            parser.error(f"--{name} {path} must end in {' or '.join(endings)}")
    if options.output is not None and options.output.suffix == ".csv" and options.guide == "none":
        parser.error("--output FILE.csv is the posterior of each latent: --guide none has none")
    if options.plot is not None:
        try:
            import matplotlib  # noqa: F401
        except ImportError:
            parser.error("--plot needs matplotlib: pip install 'elbo_ref[plot]'")
    files = [(options.output, options.force), (options.plot, options.force)]
    files.append((options.checkpoint, options.force or options.resume))
    targets = [os.path.realpath(path) for path, _ in files if path is not None]
    if len(set(targets)) < len(targets):
        parser.error("--output, --plot and --checkpoint must be different files")
    for path, overwrite in files:
        if path is not None:
            try:
                atomic.check_free(path, overwrite)
            except OSError as error:
                raise _cannot_write(path, error) from None


def _begin(
    parser: argparse.ArgumentParser, options: argparse.Namespace, guide: str, counts: Counts
) -> Climb:
    try:
        count("num_steps", options.num_steps, 1)
        return begin(
            counts,
            guide=options.init_guide if guide == "beta" and options.init_guide else guide,
            loss=options.loss,
            prior=options.fix_prior or options.init_prior or Beta(1.0, 1.0),
            learn_prior=options.learn or options.fix_prior is None,
            optimizer=Adam(lr=options.lr),
            num_particles=options.num_particles,
            rng=options.seed,
        )
    except ValueError as error:
        parser.error(str(error))


def _take_up(parser: argparse.ArgumentParser, saving: Checkpoint, path: Path) -> None:
    """Go on from the checkpoint, if it is there."""
    try:
        saving.take_up()
    except CheckpointError as error:
        raise CommandError(str(error), BAD_DATA) from None
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}", NO_INPUT) from None


def _warn(options: argparse.Namespace, counts: Counts) -> None:
    draws = counts.num_latents * options.num_particles * options.num_steps
    many = _MANY_DRAWS < draws <= MOST_DRAWS * options.num_steps
    if options.loss != "exact" and many and not options.quiet:
        say(f"{draws} draws for each guide; --loss exact needs none")


def _climb(
    options: argparse.Namespace, saving: Checkpoint, interrupts: Interrupts
) -> list[Diagnosis]:
    """Run the guides one after the other; the one that an interrupt ends is the last."""
    progress = Progress(options.quiet)
    diagnoses: list[Diagnosis] = []
    try:
        for guide, climb in saving.climbs.items():
            if interrupts.asked and diagnoses:
                break

            def pause(guide: str = guide, climb: Climb = climb) -> bool:
                progress.show(guide, climb.now.steps, options.num_steps)
                saving.save_now_and_then()
                return interrupts.asked

            if not interrupts.asked:
                climb.climb(options.num_steps, pause)
            saving.save()
            diagnoses.append(diagnose(Run.of(climb, options.num_steps)))
    except OSError as error:
        raise _cannot_write(options.checkpoint, error) from None
    finally:
        progress.clear()
    return diagnoses


def _write(path: Path, content: bytes, overwrite: bool) -> None:
    try:
        atomic.write(path, content, overwrite)
    except OSError as error:
        raise _cannot_write(path, error) from None


def _cannot_write(path: Path, error: OSError) -> CommandError:
    hint = "; --force overwrites it" if isinstance(error, FileExistsError) else ""
    return CommandError(f"{path}: {error.strerror or error}{hint}", CANNOT_WRITE)


if __name__ == "__main__":
    sys.exit(main())
