"""Pages: well formed, the answer first, nothing from outside and nothing of the data that runs."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

import elbo_ref as er
from elbo_ref._format.table import Column, Table
from elbo_ref.cli.main import main
from elbo_ref.report.page import MOST_ROWS, Page, Picture, html_page, picture_of

pytest.importorskip("jinja2")
HOSTILE = "</td><script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Outline(HTMLParser):
    """Tags that are open, what was seen, and mistakes of nesting."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.headings, self.wrong = [], [], [], []
        self.links, self.handlers, self.cells = [], [], []
        self.feed(text)
        self.wrong += self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.links += [value for name, value in attrs.items() if name in ("src", "href")]
        self.handlers += [name for name in attrs if name.startswith("on")]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


def page_with(**fields):
    made = {"title": "rates", "answer": ["one answer"], "made": {"command": "elbo-ref"}}
    return html_page(Page(**(made | fields)))


def outside(text):
    """Addresses in a page, but for the names of the drawing language."""
    return [x for x in re.findall(r"https?://[^\s\"'<]+", text) if "www.w3.org" not in x]


def test_a_page_of_runs_is_whole(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    file = tmp_path / "fit.html"
    arguments = ["fit", "--example", "coin", "--guide", "beta", "--report", str(file)]
    assert main(arguments) == 0
    capsys.readouterr()
    text = file.read_text()
    seen = Outline(text)
    assert not seen.wrong and seen.headings == sorted(seen.headings) and seen.headings[0] == 1
    assert not outside(text) and not seen.handlers and text.count("<script>") == 1
    assert all(link.startswith("#") for link in seen.links), seen.links
    for what in ("losses, exact objective", "prior, guide and posterior", "path of the prior"):
        assert f'role="img" aria-label="guide beta: {what}' in text
    assert text.index("never attained") < text.index("<svg") < text.index("<table ")
    assert str(file) in text and er.__version__ in text
    assert main(arguments) == 73 and "--force overwrites it" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0
    assert file.read_text().replace(" --force", "") == text


def test_a_page_of_a_verdict_has_the_same_exit_code(tmp_path, capsys):
    file = tmp_path / "verdict.html"
    assert main(["check", "--example", "forum", "--report", str(file)]) == 3
    out, text = capsys.readouterr().out, file.read_text()
    assert "verdict: not at an optimum" in text and not Outline(text).wrong
    assert "33.07" in Outline(text).cells or "-33.07" in Outline(text).cells
    assert "verdict: not at an optimum" in out


def test_a_picture_that_is_cut_on_a_narrow_screen_says_so():
    for width, said in ((360, 0), (400, 1)):
        broad = Picture("x", f'<svg viewBox="0 0 {width} 100"></svg>')
        text = page_with(pictures=[broad])
        assert text.count("it scrolls to the side") == text.count('class="wide" tabindex') == said


def test_nothing_of_the_data_runs():
    table = Table([Column([HOSTILE, "b"], "label", HOSTILE, left=True)], HOSTILE)
    text = page_with(title=HOSTILE, answer=[HOSTILE], tables=[table], details=[HOSTILE])
    seen = Outline(text)
    assert not seen.wrong and seen.tags.count("script") == 1 and "img" not in seen.tags
    assert not seen.handlers
    assert 'aria-label="&lt;' in picture_of("<svg></svg>", "<b").svg
    assert Outline(page_with(pictures=[Picture("x", "<svg><g></g></svg>")])).wrong == []


def test_cells_are_sorted_by_their_numbers():
    values = [1e-9, 12345678.9, None, float("nan"), 3]
    text = page_with(tables=[Table([Column(values, "x", "x")])])
    assert re.findall(r'data-key="([^"]+)"', text) == ["1e-09", "12345678.9", "3.0"]
    long = page_with(tables=[Table([Column(list(range(MOST_ROWS + 5)), "x", "x")])])
    assert "5 more rows are left out" in long and long.count("<tr>") == MOST_ROWS + 1


def test_names_in_drawings_stay_apart_and_texts_beside_them_as_they_are():
    svg = '<svg><g id="a" clip-path="url(#a)"/><use xlink:href="#a"/></svg>'
    text = page_with(pictures=[Picture("x", svg), Picture("y", svg)], answer=['id="a" href="#a"'])
    for i in (0, 1):
        assert svg.replace("#a", f"#picture{i}-a").replace('"a"', f'"picture{i}-a"') in text
    assert "id=&#34;a&#34; href=&#34;#a&#34;" in text


def test_a_page_of_estimates_says_all_that_the_command_prints(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    counts, file = tmp_path / "counts.csv", tmp_path / "page.html"
    counts.write_text("ward,successes,total_count\nnorth,3,10\nsouth,0,4\neast,7,9\n")
    assert main(["estimate", str(counts), "--group", "ward", "--report", str(file)]) == 0
    out, text = capsys.readouterr().out, file.read_text()
    assert "highest: latent east, " in text and "lowest: latent south, " in text
    facts = [line.split(": ")[1] for line in out.splitlines() if line.startswith("prior, ")]
    assert len(facts) == 3
    for number in re.findall(r"[\d.]+", " ".join(facts)):
        assert number in text


def test_a_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(ImportError, match=r"in a clone pip install '\.\[report\]'"):
        page_with()
    with pytest.raises(SystemExit):
        main(["fit", "--example", "coin", "--report", "page.txt"])
    assert "must end in .html" in capsys.readouterr().err
