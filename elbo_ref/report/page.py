"""One page that holds a result: the answer, its pictures, its tables, and how it was made.

A page needs no network and runs nothing that is in the data: pictures are inline SVG, every text is
escaped, and its policy allows no request. Tables sort by a click or a key. It reads on a narrow
screen, in light and in dark, and on paper.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref._format.result import Result, Tabular
from elbo_ref._format.table import Column, Table
from elbo_ref.crosscheck import Verdict, wording
from elbo_ref.report.axes import own_figure
from elbo_ref.report.comparison import Comparison
from elbo_ref.report.dispatch import PICTURES
from elbo_ref.report.pictures import save, save_figure

MOST_ROWS = 2000
"""Rows of a table that a page holds."""


class Picture(NamedTuple):
    """A picture: what is to be seen, in a sentence, and its drawing as SVG."""

    title: str
    svg: str


class Page(NamedTuple):
    """What a page holds.

    Attributes
    ----------
    title : str
    answer : sequence of str
        Paragraphs, the answer first.
    made : mapping of str to str
        How it was made: the command, the data, the version.
    pictures : sequence of Picture
    tables : sequence of Table
    details : sequence of str
    """

    title: str
    answer: Sequence[str]
    made: Mapping[str, str]
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    details: Sequence[str] = ()


class _Cell(NamedTuple):
    text: str
    key: float | None


class _Laid(NamedTuple):
    caption: str
    columns: list[Column]
    rows: list[list[_Cell]]
    left_out: int


def picture_of(svg: str, title: str) -> Picture:
    r"""Take a drawing for a page: alone, named for those who do not see it.

    Examples
    --------
    >>> picture_of("<?xml version='1.0'?><svg width='1'></svg>", "a & b").svg
    '<svg role="img" aria-label="a &amp; b" width=\'1\'></svg>'
    """
    drawing = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    label = f'<svg role="img" aria-label="{html.escape(title)}"'
    return Picture(title, drawing.replace("<svg", label, 1))


def page_of_verdicts(verdicts: Sequence[Verdict], title: str, made: Mapping[str, str]) -> Page:
    """Make the page of verdicts: the answers and the advice, the tables, the details."""
    answers, tables, details = list[str](), list[Table](), list[str]()
    for verdict in verdicts:
        head = f"verdict: {wording.OUTCOMES[verdict.outcome]}. {wording.answer(verdict)}"
        answers += [head, *verdict.advice]
        tables += wording.tables(verdict)
        details += [f"{key}: {text}" for key, text in wording.details(verdict)]
    return Page(title, list(dict.fromkeys(answers)), made, (), tables, details)


def page_of_runs(
    seen: Comparison, title: str, names: Mapping[str, str], made: Mapping[str, str]
) -> Page:
    """Make the page of runs: the conclusion, their pictures, the table, a sentence on each."""
    guides = ", ".join(run.guide_name for run in seen.runs)

    def draw() -> bytes:
        drawn = io.BytesIO()
        save_figure(seen.diagnoses, drawn, "svg")
        return drawn.getvalue()

    what = f"losses, densities and path of the guides {guides}"
    pictures, missing = _drawn(draw, what) if seen.complete else ([], [])
    details = [f"{name}: {sentence}." for name, sentence in seen.said().items()]
    tables = [seen.table(names), seen.posteriors()]
    return Page(title, [f"{seen.conclusion}."], made, pictures, tables, details + missing)


def page_of_result(result: Tabular, title: str, made: Mapping[str, str]) -> Page:
    """Make the page of a result: its answer, its picture, its tables, and what else it says."""
    blocks = result.blocks()
    tables = [block for block in blocks if isinstance(block, Table)]
    texts = list[str]()
    for block in blocks:
        if isinstance(block, str):
            texts += filter(None, re.split(r"\n(?! )", block))
        elif isinstance(block, Mapping):
            texts += [f"{name}: {text}" for name, text in block.items()]
    answer = [f"{result.table().caption or texts.pop(0)}."]
    if test := getattr(result, "test", None):
        answer.append(f"{test.null}: p = {number(test.pvalue)}.")
    what = PICTURES[type(result)].seen
    pictures, missing = _drawn(lambda: drawn(result, "svg"), what)
    tables = tables or [result.table()]
    return Page(title, answer, made, pictures, tables, texts + missing)


def _drawn(draw: Callable[[], bytes], what: str) -> tuple[list[Picture], list[str]]:
    """Draw a picture; without matplotlib there is none, but what is missing."""
    try:
        return [picture_of(draw().decode(), what)], []
    except ImportError as error:
        return [], [f"no pictures: {error}"]


def drawn(result: Result, format: str) -> bytes:
    """Draw a result as pdf, png or svg, always in the same bytes."""
    picture, file = PICTURES[type(result)], io.BytesIO()
    figure = own_figure(*picture.size(result))
    picture.draw(result, picture.axes(figure, result))
    save(figure, file, format)
    return file.getvalue()


def html_page(page: Page) -> str:
    """Write a page as HTML.

    Raises
    ------
    ImportError
        If jinja2 is not installed; the message says what to install.

    Examples
    --------
    >>> text = html_page(Page("Rates", ["a < b"], {"made by": "elbo_ref"}))
    >>> "<p>a &lt; b</p>" in text
    True
    """
    try:
        jinja2: Any = import_module("jinja2")
    except ImportError:
        raise ImportError(
            "a page needs jinja2: pip install jinja2, or pip install -e '.[report]' in a clone"
        ) from None
    template = files("elbo_ref.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    made = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    laid = [_laid(table) for table in page.tables]
    return str(made.from_string(template).render(page=page, tables=laid))


def _laid(table: Table) -> _Laid:
    """Lay a table out, cell by cell."""
    columns = [column for column in table.columns if column.heading]
    size = min(len(table), MOST_ROWS)
    rows = [[_Cell(x.cell(i), _key(x.values[i])) for x in columns] for i in range(size)]
    return _Laid(table.caption, columns, rows, len(table) - size)


def _key(value: object) -> float | None:
    """Return the number that a cell is sorted by; None of what is sorted as text."""
    numeric = isinstance(value, int | float | np.number) and np.isfinite(value)
    return float(value) if numeric else None  # type: ignore[arg-type]
