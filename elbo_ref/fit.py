"""``python -m elbo_ref.fit``: what SVI does to the model-side parameters of a Beta-Binomial model.

Argument parsing and composition; no mathematics.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from elbo_ref import datasets
from elbo_ref.adam import Adam
from elbo_ref.counts import Counts
from elbo_ref.diagnosis import Diagnosis, diagnose
from elbo_ref.objectives.trace import MOST_DRAWS
from elbo_ref.readers import DataError, read_counts
from elbo_ref.report import comparison
from elbo_ref.svi import maximize_elbo

GUIDES = ("beta", "empty", "tied")

BAD_DATA, NO_INPUT, INTERRUPTED = 65, 66, 130

_MANY_DRAWS = 1_000_000

_DESCRIPTION = """\
Fit c ~ Beta(concentration1, concentration0), successes ~ Binomial(total_count, c) by SVI, with both
concentrations learnable, under a full Beta guide, an empty guide and a guide tied to the prior; and
say of each what it really maximises, where that leads, and how far this run has come."""

_EPILOG = """\
examples:
  python -m elbo_ref.fit --example forum           the experiment of the Pyro forum's question
  python -m elbo_ref.fit counts.csv                one latent per row of successes,total_count
  python -m elbo_ref.fit counts.csv --group ward   one latent per ward
  python -m elbo_ref.fit --example rat_tumors --loss exact --num-steps 3000 --guide beta"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.file is None and options.example is None:
        parser.error("give a file of counts, or --example NAME")
    if options.file is not None and options.example is not None:
        parser.error("give a file of counts or --example NAME, not both")
    if options.example is not None and (options.shared or options.group is not None):
        parser.error("--shared and --group are for a file; an example has its own latents")
    try:
        title, counts, names = _data(options)
    except DataError as error:
        return _fail(str(error), BAD_DATA)
    except OSError as error:
        return _fail(f"{options.file}: {error.strerror or error}", NO_INPUT)
    guides = GUIDES if options.guide == "all" else (options.guide,)
    draws = counts.num_latents * options.num_particles * options.num_steps
    if options.loss == "trace" and _MANY_DRAWS < draws <= MOST_DRAWS * options.num_steps:
        print(f"elbo_ref: {draws} draws for each guide; --loss exact needs none", file=sys.stderr)
    diagnoses: list[Diagnosis] = []
    try:
        for guide in guides:
            run = maximize_elbo(
                counts,
                guide=guide,
                loss=options.loss,
                optimizer=Adam(lr=options.lr),
                num_steps=options.num_steps,
                num_particles=options.num_particles,
                rng=options.seed,
            )
            diagnoses.append(diagnose(run))
            if run.stopped == "interrupted":
                break
    except ValueError as error:
        parser.error(str(error))
    print(comparison(title, diagnoses, names, options.seed))
    return INTERRUPTED if diagnoses[-1].run.stopped == "interrupted" else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m elbo_ref.fit",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_argument_group("data")
    source.add_argument("file", nargs="?", help="comma-separated, with successes,total_count")
    source.add_argument(
        "--example",
        choices=datasets.available(),
        metavar="NAME",
        help=f"a bundled data set: {', '.join(datasets.available())}",
    )
    latents = source.add_mutually_exclusive_group()
    latents.add_argument("--shared", action="store_true", help="one latent for all rows")
    latents.add_argument("--group", metavar="COLUMN", help="one latent per label in this column")
    how = parser.add_argument_group("fit (as in the forum's question)")
    how.add_argument("--guide", choices=(*GUIDES, "all"), default="all", help="default: all")
    how.add_argument("--loss", choices=("trace", "exact"), default="trace", help="default: trace")
    how.add_argument("--lr", type=float, default=0.1, help="Adam's learning rate (0.1)")
    how.add_argument("--num-steps", type=int, default=100, metavar="N", help="default: 100")
    how.add_argument("--num-particles", type=int, default=10, metavar="N", help="default: 10")
    how.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    return parser


def _data(options: argparse.Namespace) -> tuple[str, Counts, Mapping[str, str]]:
    """What the data are called, the counts, and the data's own parameter names."""
    if options.example is not None:
        data = datasets.describe(options.example)
        return f"{data.name}: {data.title}", data.counts, data.names
    return options.file, read_counts(options.file, shared=options.shared, group=options.group), {}


def _fail(message: str, code: int) -> int:
    print(f"elbo_ref: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
