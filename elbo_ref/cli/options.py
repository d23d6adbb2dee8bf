"""Options of the commands, as tables; and the counts that a command is given."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeAlias

from elbo_ref import __version__
from elbo_ref._format.documents import Document, put
from elbo_ref._validation.advice import as_flags
from elbo_ref.cli.console import refusals
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.io import datasets

if TYPE_CHECKING:
    from elbo_ref.svi.optimizers import Adam, ClippedAdam

LIST = "list"

Option: TypeAlias = tuple[str, str, dict[str, Any]]
"""A name, its help, and a kind."""
Options: TypeAlias = Sequence[Option | list[Option]]
"""Those of a list exclude each other."""


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


class Choices(Iterable[str]):
    """Names that are looked up when one is chosen: what they stand for takes long to import."""

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())


FLAG: dict[str, Any] = {"action": "store_true"}
FILE: dict[str, Any] = {"type": Path, "metavar": "FILE"}
REAL: dict[str, Any] = {"type": float}
WHOLE: dict[str, Any] = {"type": int, "metavar": "N"}
PAIR: dict[str, Any] = {"type": two_concentrations, "metavar": "C1,C0"}
COLUMN: dict[str, Any] = {"metavar": "COLUMN"}

_DATA = """\
One row per latent, with a header: successes,total_count (or names as plain as k,n or
  hits,at_bats) and, if rows stand for several equal latents, multiplicity; separated by comma,
  tab or semicolon. Or JSON or npz with such columns, Parquet, or any of them in a gzip or a
  zst."""
_NAMES = ", ".join(datasets.available())
_COUNTS: Options = [
    ("file", "the file; - for standard input", {"nargs": "?"}),
    (
        "--example",
        f"instead of a file, a bundled data set: {_NAMES}, or {LIST}, which says what they are",
        {"choices": (LIST, *datasets.available()), "metavar": "NAME"},
    ),
    ("--successes", "the column of successes", COLUMN),
    ("--total-count", "the column of trials", COLUMN),
    ("--failures", "the column of failures, instead of one of the two", COLUMN),
    ("--outcome", "instead of all three, a column of 0 or 1: a row is one trial", COLUMN),
    (
        "--proportion",
        "instead of successes, a column of them divided by the trials, rounded or not",
        COLUMN,
    ),
    ("--multiplicity", "the column of how many equal latents a row stands for", COLUMN),
    [
        ("--group", "one latent per label in this column, in order of first appearance", COLUMN),
        ("--shared", "one latent for all rows", FLAG),
    ],
    (
        "--columns",
        "the names of all columns, for a text without a header",
        {"metavar": "A,B,...", "type": _columns},
    ),
    (
        "--na",
        "what to do with rows where a count or the label is blank or NA, or a count NaN: refuse "
        "the file (the default), or drop and count them",
        {"choices": ("error", "drop"), "default": "error"},
    ),
]


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and whose options know the arguments `given`."""

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> argparse.Namespace:
        """Parse the arguments, by default those of the process."""
        options = super().parse_args(args, namespace)
        options.given = list(sys.argv[1:] if args is None else args)
        return options

    def error(self, message: str) -> NoReturn:
        """Exit with code 2; the usage is what ``--help`` prints."""
        self.exit(2, f"{self.prog}: error: {message}\n")


def command_parser(
    command: str, description: str, epilog: str, groups: Mapping[str, Options]
) -> argparse.ArgumentParser:
    """Make the parser of a command that is given counts; the group ``""`` has no heading."""
    parser = _Parser(
        prog=f"python -m {command}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"elbo_ref {__version__}")
    _add(parser.add_argument_group("data", _DATA), _COUNTS)
    for heading, options in groups.items():
        _add(parser.add_argument_group(heading) if heading else parser, options)
    return parser


def _add(group: argparse._ActionsContainer, options: Options) -> None:
    for option in options:
        if isinstance(option, list):
            _add(group.add_mutually_exclusive_group(), option)
        else:
            name, text, kind = option
            group.add_argument(name, help=text, **kind)


def optimizer_of(name: str | None, lr: float, lrd: float | None) -> Adam | ClippedAdam:
    """Make the optimizer that options name; ``--lrd`` is ClippedAdam's.

    Raises
    ------
    ValueError
        If a number is none of its, or a decay is given to Adam.
    """
    from elbo_ref.svi.optimizers import Adam, ClippedAdam

    name = name or ("clippedadam" if lrd is not None else "adam")
    if name == "clippedadam":
        return ClippedAdam(lr=lr, lrd=1.0 if lrd is None else lrd)
    if lrd is not None:
        raise ValueError("--lrd goes with --optimizer ClippedAdam")
    return Adam(lr=lr)


class Input(NamedTuple):
    """Counts, a title, the data's own names of the concentrations, their source, their levels."""

    counts: Counts
    title: str
    names: Mapping[str, str]
    source: Document
    by: Sequence[Hashable] | None = None


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
        "failures": options.failures,
        "outcome": options.outcome,
        "proportion": options.proportion,
        "multiplicity": options.multiplicity,
        "group": options.group,
        "by": getattr(options, "by", None),
        "columns": options.columns,
        "shared": options.shared or None,
        "na": options.na if options.na != "error" else None,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if options.example is not None:
        if options.file is not None:
            parser.error("give a file of counts or --example NAME, not both")
        if given:
            option = next(iter(given)).replace("_", "-")
            parser.error(f"--{option} is for a file; an example has its own latents")
        data = datasets.describe(options.example)
        source: Document = {"name": data.name, "format": "example", "dropped": 0}
        source["rows"] = len(data.successes)
        put(source, "sha256", None, "a data set bundled with elbo_ref")
        return Input(data.counts, f"{data.name}: {data.title}", data.names, source)
    if options.file is None:
        parser.error("give a file of counts, or --example NAME")
    from elbo_ref.io.counts_file import Layout, read

    try:
        layout = Layout(**given, in_order=in_order)
    except ValueError as error:
        parser.error(f"argument --columns: {error}" if options.columns else str(error))
    with refusals(parser, path=options.file):
        counts, origin, guess, by = read(options.file, layout)
    title = origin.name
    if guess:
        title += f" ({as_flags(guess)})"
    if origin.dropped:
        title += f" ({origin.rows} rows, and {origin.dropped} blank dropped)"
    return Input(counts, title, {}, origin._asdict(), by)
