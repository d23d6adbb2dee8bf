"""The arguments by which a command is given counts, and the counts themselves."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import NamedTuple

from elbo_ref._format.documents import Document, put
from elbo_ref.cli.console import refusals
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.io import datasets
from elbo_ref.io.counts_file import Layout, read

LIST = "list"


class Input(NamedTuple):
    """Counts, a title, the data's own names of the concentrations, and where they came from."""

    counts: Counts
    title: str
    names: Mapping[str, str]
    source: Document


def add_counts_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the place of the counts and the meaning of their columns."""
    group = parser.add_argument_group(
        "data",
        "One row per latent, with a header: successes,total_count and, if rows stand for several\n"
        "  equal latents, multiplicity; separated by comma, tab or semicolon. Or JSON or npz with\n"
        "  columns of these names.",
    )
    group.add_argument("file", nargs="?", help="the file; - for standard input")
    group.add_argument(
        "--example",
        choices=(LIST, *datasets.available()),
        metavar="NAME",
        help=f"instead of a file, a bundled data set: {', '.join(datasets.available())}, or "
        f"{LIST}, which says what they are",
    )
    for option, what in (
        ("--successes", "successes"),
        ("--total-count", "trials"),
        ("--multiplicity", "how many equal latents a row stands for"),
    ):
        group.add_argument(option, metavar="COLUMN", help=f"the column of {what}")
    latents = group.add_mutually_exclusive_group()
    latents.add_argument("--group", metavar="COLUMN", help="one latent per label in this column")
    latents.add_argument("--shared", action="store_true", help="one latent for all rows")
    group.add_argument(
        "--columns",
        metavar="A,B,...",
        type=_columns,
        help="the names of all columns, for a text without a header",
    )
    group.add_argument(
        "--na",
        choices=("error", "drop"),
        default="error",
        help="what to do with rows where a count or the label is blank or NA: refuse the file "
        "(the default), or drop and count them",
    )


def list_examples() -> None:
    """Print the names and titles of the bundled data sets."""
    width = max(map(len, datasets.available()))
    for name in datasets.available():
        print(f"{name:{width}}  {datasets.describe(name).title}")


def read_input(
    parser: argparse.ArgumentParser, options: argparse.Namespace, in_order: bool = False
) -> Input:
    """Read the counts asked for; every row is an entry of its own if the order of rows matters.

    Raises
    ------
    SystemExit
        By way of `parser`, if the arguments contradict each other.
    CommandError
        If the data cannot be read.
    """
    given = {
        "successes": options.successes,
        "total_count": options.total_count,
        "multiplicity": options.multiplicity,
        "group": options.group,
        "columns": options.columns,
        "shared": options.shared or None,
        "drop_blank": options.na == "drop" or None,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if options.example is not None:
        if options.file is not None:
            parser.error("give a file of counts or --example NAME, not both")
        if given:
            option = next(iter(given)).replace("_", "-").replace("drop-blank", "na")
            parser.error(f"--{option} is for a file; an example has its own latents")
        data = datasets.describe(options.example)
        source: Document = {"name": data.name, "format": "example", "dropped": 0}
        source["rows"] = len(data.successes)
        put(source, "sha256", None, "a data set bundled with elbo_ref")
        return Input(data.counts, f"{data.name}: {data.title}", data.names, source)
    if options.file is None:
        parser.error("give a file of counts, or --example NAME")
    try:
        layout = Layout(**given, in_order=in_order)
    except ValueError as error:
        parser.error(f"argument --columns: {error}" if options.columns else str(error))
    with refusals(parser, path=options.file):
        counts, origin = read(options.file, layout)
    title = origin.name
    if origin.dropped:
        title += f" ({origin.rows} rows, and {origin.dropped} blank dropped)"
    return Input(counts, title, {}, origin._asdict())


def two_concentrations(text: str) -> Beta:
    """Parse two concentrations, separated by a comma."""
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


def _columns(text: str) -> tuple[str, ...]:
    return tuple(name.strip(" ") for name in text.split(","))
