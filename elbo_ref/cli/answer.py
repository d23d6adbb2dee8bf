"""An answer that needs no run, handed over in every form that was asked for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from elbo_ref._format.documents import Document, to_json
from elbo_ref._format.result import Tabular
from elbo_ref._format.table import printable
from elbo_ref.cli.console import CANNOT_WRITE, FINE, Interrupts
from elbo_ref.cli.delivery import Delivery
from elbo_ref.cli.options import Input
from elbo_ref.cli.page import made_by


def hand_over(
    command: str,
    options: argparse.Namespace,
    data: Input,
    result: Tabular,
    body: Document,
    facts: Sequence[str] = (),
) -> int:
    """Write and print a result, its document and facts beside it; return the exit code."""
    with Interrupts():
        text = to_json({**body, "input": data.source})
        delivery = Delivery()
        if options.output is not None:
            written = result.to_csv() if options.output.suffix == ".csv" else text
            delivery.write(options.output, written.encode(), options.force)
        if options.plot is not None:
            from elbo_ref.report.page import drawn

            picture = drawn(result, options.plot.suffix[1:])
            delivery.write(options.plot, picture, options.force)
        if options.report is not None:
            from elbo_ref.report.page import html_page, page_of_result

            made = made_by(command, options.given, data)
            page = page_of_result(result, printable(data.title), made)
            page = page._replace(answer=[*page.answer, *(f"{fact}." for fact in facts)])
            delivery.write(options.report, html_page(page).encode(), options.force)
        shown = "\n".join([printable(data.title), result.summary(), *map(printable, facts), ""])
        delivery.print(*(text, ".json") if options.json else (shown, ".txt"))
    return CANNOT_WRITE if delivery.failed else FINE
