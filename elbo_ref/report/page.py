"""One page that holds a result: the answer, its pictures, its tables, and how it was made.

A page needs no network and runs nothing that is in the data: pictures are inline SVG, every text is
escaped, and its policy allows no request and, by its hash, one program, which sorts the tables by a
click or a key. It reads on a narrow screen, in light and in dark, and on paper.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from elbo_ref._format.numbers import number
from elbo_ref._format.result import Result, Tabular
from elbo_ref._format.table import Table, printable
from elbo_ref._validation.extras import need
from elbo_ref.crosscheck import Verdict, wording
from elbo_ref.diagnostics.diagnosis import Diagnosis
from elbo_ref.estimates.result import Estimates
from elbo_ref.report.axes import contained, own_figure
from elbo_ref.report.comparison import Comparison
from elbo_ref.report.dispatch import PICTURES
from elbo_ref.report.pictures import plot_densities, plot_losses, plot_path, save
from elbo_ref.report.verdict import compared_findings

MOST_ROWS = 2000
"""Rows of a table that a page holds."""
_BROAD = 370.0
"""Points of a drawing's width from which on it scrolls on a narrow screen."""


class Picture(NamedTuple):
    """A picture and the words for it.

    Attributes
    ----------
    title : str
        A sentence for those who do not see it.
    svg : str
        The drawing.
    heading : str
        A line above this picture and those after it, up to the next heading.
    """

    title: str
    svg: str
    heading: str = ""

    @property
    def broad(self) -> bool:
        """Return True if its letters would be too small at the width of a telephone."""
        box = re.search(r'viewBox="\S+ \S+ (\S+) ', self.svg)
        return box is not None and float(box[1]) > _BROAD


class Page(NamedTuple):
    """Contents of a page.

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


class _Head(NamedTuple):
    heading: str
    is_text: bool


class _Laid(NamedTuple):
    caption: str
    columns: list[_Head]
    rows: list[list[_Cell]]
    left_out: int


def picture_of(svg: str, title: str, heading: str = "") -> Picture:
    r"""Take a drawing for a page: alone, named for those who do not see it.

    Examples
    --------
    >>> picture_of("<?xml version='1.0'?><svg width='1'></svg>", "a & b").svg
    '<svg role="img" aria-label="a &amp; b" width=\'1\'></svg>'
    """
    svg = svg[svg.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    label = f'<svg role="img" aria-label="{html.escape(title)}"'
    return Picture(title, drawing.replace("<svg", label, 1), heading)


def page_of_verdicts(verdicts: Sequence[Verdict], title: str, made: Mapping[str, str]) -> Page:
    """Make the page of verdicts: the answers and the advice, pictures, tables, the details."""
    answers, tables, details = list[str](), list[Table](), list[str]()
    for verdict in verdicts:
        head = f"{wording.head(verdict)} {wording.answer(verdict)}"
        answers += [head, *verdict.advice]
        tables += [_captioned(x, "what was compared") for x in wording.tables(verdict)]
        details += [f"{key}: {text}" for key, text in wording.details(verdict)]

    def draw() -> list[Picture]:
        seen = [x for x in verdicts if x.losses is not None or compared_findings(x)]
        return [_for_page(x, x.subject if len(seen) > 1 else "") for x in seen]

    pictures, missing = _drawn(draw)
    return Page(title, list(dict.fromkeys(answers)), made, pictures, tables, details + missing)


def page_of_runs(
    seen: Comparison, title: str, names: Mapping[str, str], made: Mapping[str, str]
) -> Page:
    """Make the page of runs: the conclusion, their pictures, the tables, a sentence on each."""
    pictures, missing = list[Picture](), list[str]()
    if seen.complete:
        pictures, missing = _drawn(lambda: [y for x in seen.diagnoses for y in _of_run(x)])
    details = [f"{name}: {sentence}." for name, sentence in seen.said().items()]
    posteriors = _captioned(seen.posteriors(), "each latent under the prior of each guide")
    tables = [_captioned(seen.table(names), "where each guide ended"), posteriors]
    return Page(title, [f"{seen.conclusion}."], made, pictures, tables, details + missing)


def _of_run(diagnosis: Diagnosis) -> list[Picture]:
    """Draw a run: its losses, the densities of its first latent, its path."""
    run = diagnosis.run
    plots: dict[str, Callable[..., Any]] = {
        "losses, exact objective and evidence over the steps": plot_losses,
        "prior, guide and posterior of the first latent": plot_densities,
        "path of the prior over the evidence": plot_path,
    }
    pictures, heading = [], f"guide {run.guide_name}, {run.message}"
    for what, plot in plots.items():
        svg = _saved(plot(diagnosis).figure, "svg").decode()
        pictures.append(picture_of(svg, f"guide {run.guide_name}: {what}", heading))
        heading = ""
    return pictures


def page_of_result(result: Tabular, title: str, made: Mapping[str, str]) -> Page:
    """Make the page of a result: its answer, its picture, its tables, and what else it says."""
    blocks = result.blocks()
    tables = [block for block in blocks if isinstance(block, Table)] or [result.table()]
    texts = list[str]()
    for block in blocks:
        if isinstance(block, str):
            texts += filter(None, re.split(r"\n(?! )", block))
        elif isinstance(block, Mapping):
            texts += [f"{name}: {text}" for name, text in block.items()]
    said = result.table().caption
    answer = [f"{said or texts.pop(0)}."]
    tables = [replace(x, caption="") if x.caption == said else x for x in tables]
    if isinstance(result, Estimates):
        answer += _extremes(result)
        tables[0] = replace(tables[0], caption=f"estimates, {100 * result.level:g}% intervals")
    if test := getattr(result, "test", None):
        answer.append(f"{test.null}: p = {number(test.pvalue)}.")
    pictures, missing = _drawn(lambda: [_for_page(result)])
    return Page(title, answer, made, pictures, tables, texts + missing)


def _extremes(found: Estimates) -> list[str]:
    """Say which latents have the highest and the lowest estimate, unless all are the same."""
    label, mean = found.table().columns[0], found.mean
    if np.all(mean == mean[:1]):
        return []

    def told(i: int) -> str:
        ends = f"{number(found.lower[i])} to {number(found.upper[i])}"
        return f"{label.cell(i)}, {number(mean[i])} ({ends})"

    highest, lowest = told(int(np.argmax(mean))), told(int(np.argmin(mean)))
    return [f"highest: latent {highest}; lowest: latent {lowest}."]


def _captioned(table: Table, caption: str) -> Table:
    return table if table.caption else replace(table, caption=caption)


def _drawn(draw: Callable[[], list[Picture]]) -> tuple[list[Picture], list[str]]:
    """Draw pictures; without matplotlib there are none, but what is missing."""
    try:
        return draw(), []
    except ImportError as error:
        return [], [f"no pictures: {error}"]


def drawn(result: Result, format: str, width: float | None = None) -> bytes:
    """Draw a result as pdf, png or svg, always in the same bytes; `width` is in inches."""
    picture = PICTURES[type(result)]
    usual, height = picture.size(result)
    figure = own_figure(width or usual, height)
    picture.draw(result, picture.axes(figure, result))
    return _saved(figure, format)


def _for_page(result: Result, heading: str = "") -> Picture:
    """Draw a result so narrow that a telephone shows letters that can be read."""
    picture = PICTURES[type(result)]
    svg = drawn(result, "svg", picture.narrow(result)).decode()
    return picture_of(svg, f"{heading}: {picture.seen}" if heading else picture.seen, heading)


def _saved(figure: Any, format: str) -> bytes:
    contained(figure)
    file = io.BytesIO()
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
    jinja2 = need("jinja2", "a page")
    folder = files("elbo_ref.report")
    template, program = (
        folder.joinpath(name).read_text(encoding="utf-8") for name in ("page.html.j2", "page.js")
    )
    made = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    made.filters["plain"] = lambda text: " ".join(map(printable, text.split()))
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    pictures = [x._replace(svg=_apart(x.svg, i)) for i, x in enumerate(page.pictures)]
    known = {"page": page, "pictures": pictures, "tables": [_laid(table) for table in page.tables]}
    return str(made.from_string(template).render(known, program=program, digest=digest))


def _apart(svg: str, place: int) -> str:
    """Give the names inside a drawing a prefix of its own."""
    return re.sub(r'(<[^>]*?\bid="|href="#|url\(#)', rf"\g<1>picture{place}-", svg)


def _laid(table: Table) -> _Laid:
    """Lay a table out, cell by cell."""
    columns = [column for column in table.columns if column.heading]
    size = min(len(table), MOST_ROWS)
    rows = [[_Cell(x.cell(i), _key(x.values[i])) for x in columns] for i in range(size)]
    heads = [_Head(x.heading, x.left or any(map(_is_text, x.values[:size]))) for x in columns]
    return _Laid(table.caption, heads, rows, len(table) - size)


def _is_text(value: object) -> bool:
    return value is not None and not isinstance(value, int | float | np.number)


def _key(value: object) -> float | None:
    """Return the number that a cell is sorted by; None of what is sorted as text."""
    numeric = isinstance(value, int | float | np.number) and np.isfinite(value)
    return float(value) if numeric else None  # type: ignore[arg-type]
