"""``elbo-ref estimate``: the rate of each latent, with its interval.

Argument parsing and composition; no mathematics.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from elbo_ref._format.documents import Document, put
from elbo_ref.cli.answer import hand_over
from elbo_ref.cli.console import FINE, guarded, refusals
from elbo_ref.cli.options import (
    COLUMN,
    FILE,
    FLAG,
    LIST,
    REAL,
    Options,
    command_parser,
    list_examples,
    read_input,
    two_concentrations,
)
from elbo_ref.cli.places import check_places
from elbo_ref.distributions.beta import Beta
from elbo_ref.estimates.estimate import estimate
from elbo_ref.estimates.result import Estimates

_DESCRIPTION = """\
Estimate the rate of each latent from its successes and trials: c ~ Beta, the same for all latents,
successes ~ Binomial(total_count, c). The prior is averaged over, so that intervals contain what is
not known about it."""

_EPILOG = """\
priors:
  averaged   over all that the data allow, under a documented hyperprior (docs/estimates.md)
  mle        the one of highest evidence, taken as known: intervals are too short for few latents
  C1,C0      Beta(C1, C0), whatever the data say

examples:
  python -m elbo_ref estimate counts.csv
  python -m elbo_ref estimate --example batting --report batting.html
  python -m elbo_ref estimate counts.csv --by treatment
  python -m elbo_ref estimate counts.csv --successes hits --total-count at_bats --output rates.csv

exit codes:
  0 fine, 2 wrong usage, 65 bad data, 66 no such input, 73 cannot write (the result is printed all
  the same, and kept in another file that a message names), 130 interrupted; 1 is a bug"""


def _prior(text: str) -> str | Beta:
    if "," in text:
        return two_concentrations(text)
    if text not in ("averaged", "mle"):
        raise argparse.ArgumentTypeError(f"{text!r} is not averaged, mle or C1,C0")
    return text


_GROUPS: dict[str, Options] = {
    "estimates": [
        (
            "--prior",
            "averaged (the default), mle, or two concentrations",
            {"type": _prior, "default": "averaged", "metavar": "PRIOR"},
        ),
        ("--level", "probability of the intervals (0.95)", REAL | {"default": 0.95}),
        ("--by", "one prior for each level of this column, and the test of one for all", COLUMN),
        ("--above", "also P(c > T) of each latent", REAL | {"metavar": "T"}),
        (
            "--compare",
            "also the difference of two latents, by their labels in the table",
            {"nargs": 2, "metavar": "LABEL"},
        ),
    ],
    "result": [
        ("--json", "print the result as JSON", FLAG),
        ("--output", "also write it: .json everything, .csv a row for each latent", FILE),
        ("--plot", "also draw it: .png, .svg or .pdf", FILE),
        ("--report", "also write it as one page with pictures: .html", FILE),
        ("--force", "overwrite files", FLAG),
    ],
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return guarded(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    parser = command_parser("elbo_ref estimate", _DESCRIPTION, _EPILOG, _GROUPS)
    options = parser.parse_args(arguments)
    if options.example == LIST:
        list_examples()
        return FINE
    check_places(parser, options)
    data = read_input(parser, options)
    with refusals(parser):
        settings = {"level": options.level, "above": options.above, "by": data.by}
        found = estimate(data.counts, options.prior, **settings)
        body, facts = found.to_dict(), list[str]()
        if options.compare is not None:
            body["difference"], facts = _compared(found, *options.compare)
    return hand_over("estimate", options, data, found, body, facts)


def _compared(found: Estimates, *texts: str) -> tuple[Document, list[str]]:
    """Compare two latents, by their labels as text: the document of it, and its words."""
    labels = {str(label): label for label in found.labels}
    for text in texts:
        if text not in labels:
            rule = "is no latent of the table; --group COLUMN names latents"
            raise ValueError(f"--compare: {text!r} {rule}")
    difference = found.difference(*(labels[text] for text in texts))
    body: Document = dict(zip(("label1", "label2"), texts, strict=True))
    for name in ("mean", "lower", "upper", "probability"):
        put(body, name, getattr(difference, name), "the evidence leaves it open")
    return body, str(difference).splitlines()
