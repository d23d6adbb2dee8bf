"""The options of ``python -m elbo_ref.fit``, and the rules that join them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from elbo_ref.cli.options import (
    COLUMN,
    FILE,
    FLAG,
    PAIR,
    REAL,
    WHOLE,
    Choices,
    Options,
    command_parser,
)
from elbo_ref.distributions.beta_source import BETA
from elbo_ref.mle.intervals import PARAMETERS, check_value

GUIDES = ("beta", "empty", "tied")

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
  73 cannot write (the result is printed all the same, and kept in another file that a message
  names), 130 interrupted; 1 is a bug"""


def _guides() -> Iterable[str]:
    from elbo_ref.guides import GUIDES

    return *GUIDES, "all"


def _losses() -> Iterable[str]:
    from elbo_ref.objectives import OBJECTIVES

    return OBJECTIVES


def _constraints() -> Iterable[str]:
    from elbo_ref.guides.constraints import CONSTRAINTS

    return CONSTRAINTS


def _held(text: str) -> dict[str, float]:
    """Parse ``mean=0.3`` or ``concentration=10``."""
    name, _, value = (part.strip() for part in text.partition("="))
    try:
        held = float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME=VALUE, as mean=0.3 or concentration=10"
        ) from None
    if name not in PARAMETERS:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(PARAMETERS)}")
    try:
        return {name: check_value(name, held)}
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class _Once(argparse.Action):
    """Refuse an option that is given twice."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} holds one thing, and is given twice")
        setattr(namespace, self.dest, values)


_GROUPS: dict[str, Options] = {
    "instead of a fit": [
        [
            ("--exact", "the evidence's maximum, or that there is none; proven", FLAG),
            (
                "--estimates",
                "MLE, MAP, posterior mean, empirical Bayes and where each guide leads",
                FLAG,
            ),
        ],
        (
            "--hold",
            "with --exact: hold the prior's mean, concentration, concentration1 or concentration0",
            {"type": _held, "metavar": "NAME=VALUE", "action": _Once},
        ),
        (
            "--by",
            "with --exact: a maximum for each level of this column, and the test of one for all",
            COLUMN,
        ),
    ],
    "fit (the defaults are the forum question's)": [
        (
            "--guide",
            "which of those below, or all: beta, empty and tied (all)",
            {"choices": Choices(_guides), "default": "all", "metavar": "GUIDE"},
        ),
        (
            "--loss",
            "trace: Monte Carlo, as Pyro's Trace_ELBO (the default); exact: the closed form; or "
            "another of those below",
            {"choices": Choices(_losses), "default": "trace", "metavar": "LOSS"},
        ),
        (
            "--optimizer",
            "adam (the default) or clippedadam, as Pyro's",
            {"choices": ("adam", "clippedadam"), "metavar": "NAME", "type": str.lower},
        ),
        ("--lr", "the learning rate (0.1)", REAL | {"default": 0.1}),
        ("--lrd", "by which ClippedAdam multiplies its learning rate at each step", REAL),
        ("--num-steps", "steps (100)", WHOLE | {"default": 100}),
        ("--num-particles", "draws a step, for trace (10)", WHOLE | {"default": 10}),
        (
            "--subsample-size",
            "each draw sees so many latents, or single trials of a shared one (all)",
            WHOLE,
        ),
        ("--seed", "of the draws (0)", WHOLE | {"default": 0}),
        [
            ("--init-prior", "where the prior's concentrations start (1,1)", PAIR),
            ("--fix-prior", "what they are; they are then not learned", PAIR),
        ],
        ("--learn", "learn only this concentration of the prior", {"choices": BETA.names}),
        (
            "--constraint",
            "how concentrations are kept so: positive, by exp (the default), or softplus_positive",
            {"choices": Choices(_constraints), "default": "positive", "metavar": "NAME"},
        ),
        ("--init-guide", "where the Beta guide starts (1,1)", PAIR),
    ],
    "result": [
        ("--json", "print the result as JSON", FLAG),
        (
            "--output",
            "also write it: .json everything, .csv a table, of a fit the posteriors",
            FILE,
        ),
        ("--plot", "also draw it: .png, .svg or .pdf", FILE),
        ("--report", "also write it as one page with pictures: .html", FILE),
        ("--checkpoint", "save the run as it goes", FILE),
        (
            "--resume",
            "go on from the checkpoint, if it is there; more steps than before are fine",
            FLAG,
        ),
        ("--force", "overwrite files", FLAG),
        ("--quiet", "no warnings and no progress line", FLAG),
        ("--require-converged", "exit with 3 unless every run has converged", FLAG),
    ],
}


def fit_parser() -> argparse.ArgumentParser:
    """Make the parser of the fit command."""
    return command_parser("elbo_ref.fit", _DESCRIPTION, _EPILOG, _GROUPS)


def guides_asked_for(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> tuple[str, ...]:
    """Choose the guides to run: all that have something to learn, or the one asked for."""
    if options.exact or options.estimates:
        _refuse_run_options(parser, options)
    if options.hold is not None and not options.exact:
        parser.error("--hold is for --exact; a fit holds the prior by --fix-prior or --learn")
    if options.by is not None and not options.exact:
        parser.error("--by is for --exact; elbo-ref estimate takes it, too")
    if options.init_guide is not None and options.guide not in ("beta", "all"):
        parser.error(f"--init-guide is for a Beta guide, not for --guide {options.guide}")
    if options.resume and options.checkpoint is None:
        parser.error("--resume needs --checkpoint FILE")
    if options.learn is not None and options.fix_prior is not None:
        parser.error("--learn and --fix-prior exclude each other: --init-prior says where to start")
    if options.guide != "all":
        return (options.guide,)
    return GUIDES if options.fix_prior is None else ("beta",)


_OF_A_FIT = (
    *(
        "guide",
        "loss",
        "learn",
        "optimizer",
        "lr",
        "lrd",
        "num_steps",
        "num_particles",
        "subsample_size",
    ),
    *(
        "constraint",
        "seed",
        "init_guide",
        "checkpoint",
        "resume",
        "require_converged",
    ),
)


def _refuse_run_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse options of a run, which would be ignored."""
    which = "--exact" if options.exact else "--estimates"
    names = (*_OF_A_FIT, "init_prior", "fix_prior") if options.exact else _OF_A_FIT
    given = [name for name in names if getattr(options, name) != parser.get_default(name)]
    if given:
        parser.error(f"--{given[0].replace('_', '-')} is for a fit, not for {which}")
