"""The page of each command in a real browser: quiet, sortable, readable, and deaf to its data.

Beside each check stands a doctored page that it must refuse.
"""

from __future__ import annotations

import base64
import csv
import io
import itertools
import json
import re

import pytest

from elbo_ref._format.table import printable
from elbo_ref.cli.main import main

pytestmark = pytest.mark.thorough

COMMANDS = {
    "estimate": (0, ["estimate", "--example", "batting"]),
    "fit": (0, ["fit", "--example", "batting", "--num-steps", "50"]),
    "check": (3, ["check", "--example", "forum"]),
    "exact": (0, ["fit", "--example", "coin", "--exact"]),
    "estimates": (0, ["fit", "--example", "coin", "--estimates"]),
}
HOSTILE = [
    "<script>window.ran = 1</script>",
    '"><img src=x onerror="window.ran = 1">',
    "{{ 7*7 }}",
    "</svg><script>window.ran = 1</script>",
    "--><script>window.ran = 1</script>",
    "\u202egnp.exe\u2066",
    "a  &  b &amp;",
    "שלום",
    "x" * 300,
]
A4 = 718
"""Pixels between the margins of a sheet."""
POLICY = re.compile('<meta http-equiv="Content-Security-Policy"[^>]*>')


def made(folder, code, arguments):
    """Have a command write its page."""
    file = folder / f"{len([*folder.iterdir()])}.html"
    assert main([*map(str, arguments), "--report", str(file)]) == code
    return file


@pytest.fixture(scope="session")
def pages(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    return {name: made(folder, *command) for name, command in COMMANDS.items()}


@pytest.fixture(params=COMMANDS)
def page(request, pages):
    return pages[request.param]


@pytest.fixture
def doctored(pages, tmp_path):
    """Make a page of estimates in which something is replaced."""

    def make(old, new, policy=True):
        text = pages["estimate"].read_text()
        changed = text.replace(old, new)
        assert changed != text
        file = tmp_path / "doctored.html"
        file.write_text(changed if policy else POLICY.sub("", changed))
        return file

    return make


# -- nothing is reported, nothing leaves -------------------------------------------------------


def foreign(browser):
    return [x for x in browser.asked if not x.startswith(("file:", "data:"))]


def test_nothing_is_reported_and_no_request_leaves(browser, page):
    browser.open(page)
    assert browser.seen == [] and browser.asked == [page.as_uri()]


@pytest.mark.parametrize("code", ["console.error('no')", "console.warn('no')", "missing()"])
def test_a_report_is_seen(browser, doctored, code):
    browser.open(doctored("</main>", f"</main><script>{code}</script>", policy=False))
    assert len(browser.seen) == 1 and foreign(browser) == []


def test_a_request_is_seen_and_the_policy_stops_it(browser, doctored):
    image = "</main><img src='http://127.0.0.1:9/x.png'>"
    browser.open(doctored("</main>", image, policy=False))
    assert foreign(browser) == ["http://127.0.0.1:9/x.png"]
    browser.open(doctored("</main>", image))
    assert "Content Security Policy" in str(browser.seen)


# -- sorting -----------------------------------------------------------------------------------

ROWS = """return [...arguments[0].tBodies[0].rows].map(
    row => [...row.children].map(cell => [cell.dataset.key ?? null, cell.textContent]))"""
SORTED = "return [...arguments[0].tHead.rows[0].cells].map(cell => cell.getAttribute('aria-sort'))"


def in_order(rows, place, down):
    """Rows in the order of a column; what has no number comes last, as text."""
    numbers = any(row[place][0] is not None for row in rows)

    def key(row):
        number, text = row[place]
        parts = re.split(r"(\d+)", text.casefold())
        return [int(x) if x.isdigit() else x for x in parts] if number is None else float(number)

    last = [row for row in rows if numbers and row[place][0] is None]
    rest = [row for row in rows if row not in last]
    return sorted(rest, key=key, reverse=down) + sorted(last, key=key, reverse=down)


@pytest.mark.parametrize("how", ["click", "Enter", "Space"])
def test_every_column_sorts(browser, page, how):
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    tables = browser.driver.find_elements("tag name", "table")
    assert tables
    changed = 0
    for table in tables:
        buttons = table.find_elements("css selector", "thead button")
        for place, button in enumerate(buttons if how == "click" else buttons[:2]):
            for down in (False, True) if place < 2 else (False,):
                rows = browser.run(ROWS, table)
                if how == "click":
                    button.click()
                else:
                    button.send_keys(Keys.ENTER if how == "Enter" else Keys.SPACE)
                after = browser.run(ROWS, table)
                assert after == in_order(rows, place, down), (place, down)
                states = [None] * len(buttons)
                states[place] = "descending" if down else "ascending"
                assert browser.run(SORTED, table) == states
                changed += after != rows
    assert changed


def test_the_tab_key_reaches_every_header_and_shows_it(browser, page):
    from selenium.webdriver import ActionChains, Keys

    browser.open(page)
    wanted = browser.run("return [...document.querySelectorAll('th button')].map(x => x.innerText)")
    reached = []
    for _ in range(len(wanted) + 12):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        tag, text, outline = browser.run(
            "const x = document.activeElement;"
            "return [x.tagName, x.innerText, getComputedStyle(x).outlineStyle]"
        )
        if tag == "BUTTON":
            assert outline == "solid"
            reached.append(text)
        if len(reached) == len(wanted):
            break
    assert reached == wanted


# -- on every screen ---------------------------------------------------------------------------

WIDE = """return Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"""


@pytest.mark.parametrize("width", [320, 360, 1400])
def test_nothing_scrolls_sideways(browser, page, width):
    browser.open(page, width)
    assert browser.run(WIDE) <= width


def test_a_page_that_scrolls_sideways_is_seen(browser, doctored):
    browser.open(doctored("</main>", f"<p style='white-space:nowrap'>{'a b ' * 99}</main>"), 360)
    assert browser.run(WIDE) > 360


def test_letters_of_pictures_can_be_read_on_a_narrow_screen(browser, page):
    """Nine points, the size of a legend, are eight pixels at least."""
    browser.open(page, 360)
    scale = """return [...document.querySelectorAll("figure svg")].map(
        x => x.getBoundingClientRect().width / x.viewBox.baseVal.width)"""
    scales = browser.run(scale)
    assert scales and min(scales) > 8 / 9, scales


CONTRASTS = """
const numbers = text => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map(x => x / 255).map(
    x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4
  ).reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
function ground(element) {
  for (let x = element; x; x = x.parentElement) {
    const colour = numbers(getComputedStyle(x).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
    if (colour[3] !== 0) throw Error("half transparent");
  }
  return [255, 255, 255];
}
const found = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const x = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || x.closest("svg, script, style")) continue;
  const pair = [numbers(getComputedStyle(x).color), ground(x)].map(light).sort((a, b) => b - a);
  found.push([(pair[0] + 0.05) / (pair[1] + 0.05), texts.currentNode.data]);
}
return found"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out(browser, page, scheme):
    """By WCAG 2.2, 1.4.3: a ratio of luminances of 4.5 at least."""
    browser.open(page, scheme=scheme)
    found = browser.run(CONTRASTS)
    assert len(found) > 20 and min(found)[0] >= 4.5, min(found)


def test_a_pale_text_is_seen(browser, doctored):
    browser.open(doctored("--ink: #1b1b1b", "--ink: #808080"))
    assert min(browser.run(CONTRASTS))[0] < 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_have_the_colours_of_the_page(browser, page, scheme):
    """The corner of each picture is the paper's, to rounding, and its darkest ink stands out."""
    from matplotlib.image import imread

    browser.open(page, scheme=scheme)
    paper = browser.run("return getComputedStyle(document.body).backgroundColor")
    wanted = [int(x) for x in re.findall(r"\d+", paper)]
    assert (sum(wanted) < 300) == (scheme == "dark")
    drawn = browser.driver.find_elements("css selector", "figure svg")
    assert drawn
    for picture in drawn:
        pixels = 255 * imread(io.BytesIO(picture.screenshot_as_png))[..., :3]
        assert abs(pixels[3, 3] - wanted).max() <= 2
        assert abs(pixels.mean(-1) - pixels[3, 3].mean()).max() > 190


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_prints_on_white(browser, page, scheme):
    browser.open(page, scheme=scheme)
    printed = base64.b64decode(browser.command("Page.printToPDF", {})["data"])
    assert printed.startswith(b"%PDF-") and len(printed) > 5000
    browser.prefer(scheme, "print")
    browser.resize(A4)
    assert browser.run(WIDE) <= A4
    colours = browser.run(
        "const x = getComputedStyle(document.body); return [x.color, x.backgroundColor]"
    )
    assert colours == ["rgb(27, 27, 27)", "rgb(255, 255, 255)"]
    assert browser.run("return getComputedStyle(document.querySelector('figure')).filter") == "none"


# -- for those who listen ----------------------------------------------------------------------


def spoken(browser):
    """What the browser tells a screen reader: roles and names."""
    browser.command("Accessibility.enable", {})
    nodes = browser.command("Accessibility.getFullAXTree", {})["nodes"]
    return [
        (x["role"]["value"], x.get("name", {}).get("value", "").strip())
        for x in nodes
        if not x["ignored"]
    ]


def unnamed(browser):
    kinds = ("image", "table", "button", "region")
    return [role for role, name in spoken(browser) if role in kinds and not name]


def test_everything_has_a_name(browser, page):
    browser.open(page)
    assert unnamed(browser) == []
    names = [name for role, name in spoken(browser) if role == "image"]
    assert (
        len(names)
        == len({*names})
        == browser.run("return document.querySelectorAll('svg,img').length")
    )
    assert names
    tables = [name for role, name in spoken(browser) if role == "table"]
    assert (
        len(tables)
        == len({*tables})
        == browser.run("return document.querySelectorAll('table').length")
    )


def test_a_picture_without_a_name_is_seen(browser, doctored):
    browser.open(doctored('aria-label="raw rates', 'data-label="raw rates'))
    assert unnamed(browser) == ["image"]


def badly_nested(levels):
    steps = itertools.pairwise(levels)
    return levels[:1] != [1] or levels.count(1) != 1 or any(b > a + 1 for a, b in steps)


def test_headings_are_in_order_and_the_language_is_said(browser, page):
    browser.open(page)
    levels = "return [...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(x => +x.tagName[1])"
    found = browser.run(levels)
    assert not badly_nested(found), found
    assert badly_nested([1, 3]) and badly_nested([2, 2]) and badly_nested([1, 2, 1])
    assert browser.run("return document.documentElement.lang") == "en"
    names = "return [...document.querySelectorAll('[id]')].map(x => x.id)"
    ids = browser.run(names)
    assert len(ids) == len({*ids})
    first = "return [...document.querySelector('main').children].slice(0, 2).map(x => x.className)"
    assert browser.run(first) == ["", "answer"]


# -- hostile data ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def hostile(browser, tmp_path_factory):
    """Pages of counts with hostile labels, in a file with such a name."""
    folder = tmp_path_factory.mktemp("hostile")
    counts = folder / "<img src=x onerror=window.ran=1>.csv"
    with counts.open("w", newline="", encoding="utf-8") as file:
        rows = [[label, 2 * i, 20 + i, HOSTILE[i % 6]] for i, label in enumerate(HOSTILE)]
        csv.writer(file).writerows([["label", "successes", "total_count", "arm"], *rows])
    store = folder / "<b>.json"
    store.write_text(json.dumps({"alpha": 2.0, "beta": 3.0}))
    data = [counts, "--group", "label"]
    check = ["check", *data, "--params", store, "--guide", "tied"]
    return {
        "estimate": made(folder, 0, ["estimate", *data]),
        "fit": made(folder, 0, ["fit", *data, "--num-steps", "5"]),
        "exact": made(folder, 0, ["fit", counts, "--exact", "--by", "arm"]),
        "levels": made(folder, 0, ["estimate", counts, "--by", "arm"]),
        "check": made(folder, 3, check),
    }


@pytest.mark.parametrize("name", ["estimate", "fit", "exact", "levels", "check"])
def test_nothing_of_the_data_runs(browser, hostile, name):
    browser.open(hostile[name], 360)
    assert browser.run("return window.ran") is None
    assert browser.seen == [] and browser.asked == [hostile[name].as_uri()]
    assert browser.run(WIDE) <= 360
    assert browser.run("return document.scripts.length") == 1
    assert browser.run("return document.querySelectorAll('img, b, i').length") == 0
    text = browser.run("return document.body.innerText")
    assert "<img src=x onerror=window.ran=1>.csv" in text
    assert {c for c in text if not c.isprintable()} <= {"\n", "\t"}
    if name != "check":
        cells = browser.run("return [...document.querySelectorAll('td, th')].map(x => x.innerText)")
        labels = HOSTILE if name in ("estimate", "fit") else HOSTILE[:6]
        assert {*map(printable, labels)} <= {*cells}


def test_a_label_that_is_not_escaped_runs_but_for_the_policy(browser, doctored):
    for bad in HOSTILE[:2]:
        browser.open(doctored("<h1>", f"<h1>{bad}", policy=False))
        assert browser.run("return window.ran") == 1
        browser.open(doctored("<h1>", f"<h1>{bad}"))
        assert browser.run("return window.ran") is None
