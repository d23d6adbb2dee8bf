"""``python -m elbo_ref.fit``: SVI on the model-side parameters of a Beta-Binomial model.

Argument parsing and composition; no mathematics. What a command does not need is not imported.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from elbo_ref.cli.answer import hand_over
from elbo_ref.cli.console import FINE, guarded, refusals
from elbo_ref.cli.fit_options import fit_parser, guides_asked_for
from elbo_ref.cli.options import LIST, Input, list_examples, read_input
from elbo_ref.cli.places import check_places

if TYPE_CHECKING:
    from elbo_ref.diagnostics.estimates import EstimateTable
    from elbo_ref.estimates.maxima import EvidenceMaxima
    from elbo_ref.mle.result import EvidenceMaximum


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return guarded(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    parser = fit_parser()
    options = parser.parse_args(arguments)
    if options.example == LIST:
        list_examples()
        return FINE
    guides = guides_asked_for(parser, options)
    _check_csv(parser, options)
    check_places(parser, options)
    data = read_input(parser, options)
    if options.exact or options.estimates:
        return _answer(parser, options, data)
    from elbo_ref.cli.runs import run_guides

    return run_guides(parser, options, guides, data)


def _answer(parser: argparse.ArgumentParser, options: argparse.Namespace, data: Input) -> int:
    """Give the answers that need no run: the evidence's maximum, or the table of estimates."""
    result: EvidenceMaxima | EvidenceMaximum | EstimateTable
    with refusals(parser):
        if data.by is not None:
            from elbo_ref.estimates.maxima import maxima_by

            result = maxima_by(
                data.counts, data.by, options.hold, progress=False if options.quiet else None
            )
        elif options.exact:
            from elbo_ref.mle.result import maximize_evidence

            result = maximize_evidence(data.counts, options.hold)
        else:
            from elbo_ref.diagnostics.estimates import estimate_table

            result = estimate_table(data.counts, options.fix_prior or options.init_prior)
    return hand_over("fit", options, data, result, result.to_dict())


def _check_csv(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse a table of posteriors for a guide that has none."""
    if options.guide == "all" or options.output is None or options.output.suffix != ".csv":
        return
    from elbo_ref.guides import find

    if not find(options.guide).has_prior:
        rule = "is the posterior of each latent"
        parser.error(f"--output FILE.csv {rule}: --guide {options.guide} has none")
