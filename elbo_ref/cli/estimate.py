"""``elbo-ref estimate``: the rate of each latent, with its interval.

Argument parsing and composition; no mathematics.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from elbo_ref._format.documents import Document, document, to_json
from elbo_ref._format.table import printable
from elbo_ref.cli.console import CANNOT_WRITE, FINE, Interrupts, guarded, refusals
from elbo_ref.cli.delivery import Delivery
from elbo_ref.cli.options import (
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
from elbo_ref.cli.page import made_by
from elbo_ref.cli.places import check_places
from elbo_ref.distributions.beta import Beta
from elbo_ref.estimates.estimate import estimate
from elbo_ref.estimates.result import Estimates
from elbo_ref.report.page import forest, html_page, page_of_estimates

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
    ],
    "result": [
        ("--json", "print the result as JSON", FLAG),
        ("--output", "also write it: .json everything, .csv a row for each latent", FILE),
        ("--plot", "also draw it: .png or .svg", FILE),
        ("--report", "also write it as one page with pictures: .html", FILE),
        ("--force", "overwrite files", FLAG),
    ],
}


def _document(found: Estimates) -> Document:
    """Make the document of estimates: their columns by name."""
    table = found.table()
    columns = {x.name: np.asarray(x.values).tolist() for x in table.columns if x.name}
    body: Document = {**document("latents"), "what": table.caption}
    body["columns"] = {name: [_plain(x) for x in values] for name, values in columns.items()}
    return body


def _plain(value: object) -> object:
    """Return a value that JSON has; a rate of no trials is null."""
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | None) else str(value)


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
        found = estimate(data.counts, options.prior, level=options.level)
    with Interrupts():
        text = to_json({**_document(found), "input": data.source})
        delivery = Delivery()
        if options.output is not None:
            written = found.table().to_csv() if options.output.suffix == ".csv" else text
            delivery.write(options.output, written.encode(), options.force)
        if options.plot is not None:
            drawn = forest(found, options.plot.suffix[1:])
            delivery.write(options.plot, drawn, options.force)
        if options.report is not None:
            page = page_of_estimates(found, data.title, made_by("estimate", options.given, data))
            delivery.write(options.report, html_page(page).encode(), options.force)
        shown = f"{printable(data.title)}\n{found.summary()}\n"
        delivery.print(*(text, ".json") if options.json else (shown, ".txt"))
    return CANNOT_WRITE if delivery.failed else FINE
