"""The site in a real browser: quiet, in order, readable at both widths and in both schemes.

Beside each check stands a doctored page that it must refuse. axe-core is not of this project: its
`axe.min.js` is named by ELBO_REF_AXE (`npm install axe-core` brings it).
"""

import os
from pathlib import Path

import pytest

from browsing import missing

pytestmark = pytest.mark.thorough

VIEWS = [(1400, "light"), (360, "dark"), (1400, "dark"), (360, "light")]
SEEN = """return {
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    levels: [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')]
        .filter(x => x.checkVisibility()).map(x => Number(x.tagName[1])),
    unnamed: [...document.images].filter(x => !x.alt.trim()).map(x => x.src),
    missing: [...document.images].filter(x => x.complete && !x.naturalWidth).map(x => x.src),
}"""
DRAWN = """const done = arguments[arguments.length - 1];
requestAnimationFrame(() => requestAnimationFrame(() => done()))"""
AXE = """const [rules, done] = arguments;
axe.run(document, {resultTypes: ['violations'], rules}).then(found => done(found.violations.map(
    x => [x.id, x.nodes.length, x.nodes[0].html, x.nodes[0].failureSummary])))"""


@pytest.fixture(scope="session")
def axe():
    path = Path(os.environ.get("ELBO_REF_AXE", "axe.min.js"))
    if not path.is_file():
        missing("axe-core (ELBO_REF_AXE)")
    return path.read_text("utf-8")


def violations(browser, axe, *without):
    """What axe-core has to say of the page that is open, but for some of its rules."""
    browser.run(axe)
    rules = {rule: {"enabled": False} for rule in without}
    return browser.driver.execute_async_script(AXE, rules)


def written(page):
    """Pages that somebody wrote, and one of each kind that is made."""
    made = ("api/generated/", "source/", "_static/", "_modules/")
    some = ("elbo_ref.Estimates.html", "elbo_ref.maximize_elbo.html", "evidence.py.html")
    return not page.startswith(made) or page.endswith(some)


def out_of_order(levels):
    """Places at which a heading is more than one level below the one before."""
    steps = zip([0, *levels], levels, strict=False)
    return [i for i, (before, level) in enumerate(steps) if level > before + 1]


def faults(browser, path):
    """Everything that a page must not have, as it is opened."""
    browser.open(path, *VIEWS[0])
    away = [x for x in browser.asked if not x.startswith(("file:", "data:"))]
    found = {"reported": browser.seen, "fetched": away, **faults_of_view(browser)}
    return {name: value for name, value in found.items() if value}


def faults_of_view(browser):
    """Those of the page that is open, at the present width."""
    seen = browser.run(SEEN)
    found = {
        "too wide": seen["wide"] if seen["wide"] > 0 else [],
        "headings": out_of_order(seen["levels"]) or ([] if seen["levels"].count(1) == 1 else "h1"),
        "unnamed": seen["unnamed"],
        "missing": seen["missing"],
    }
    return {name: value for name, value in found.items() if value}


def turn(browser, width, scheme):
    """Look at the page that is open at another width, in another scheme."""
    browser.resize(width)
    browser.prefer(scheme)
    browser.driver.execute_async_script(DRAWN)


def test_every_page_is_in_order(site, browser, axe, page):
    """Of pages that are made axe-core takes a few whole; the others differ by their structure."""
    assert faults(browser, site / page) == {}
    for view in VIEWS:
        turn(browser, *view)
        assert faults_of_view(browser) == {}, view
        if view in VIEWS[:2] and written(page):
            assert violations(browser, axe) == [], view
    if not written(page) and page.startswith("api/"):
        assert violations(browser, axe, "color-contrast") == []


@pytest.mark.parametrize(
    ("fault", "markup"),
    [
        ("reported", "<script>console.error('no')</script>"),
        ("fetched", "<img alt='x' src='http://127.0.0.1:9/x.png'>"),
        ("too wide", "<div style='width: 3000px; height: 1px'></div>"),
        ("headings", "<h4>out of order</h4>"),
        ("unnamed", "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>"),
        ("missing", "<img alt='x' src='no.png'>"),
    ],
)
def test_a_fault_is_seen(site, browser, tmp_path, fault, markup):
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><title>x</title><h1>x</h1>{markup}")
    assert fault in faults(browser, page)


def test_axe_sees_a_violation(browser, axe, tmp_path):
    page = tmp_path / "page.html"
    text = "<!doctype html><html lang=en><title>x</title><main><h1>x</h1>"
    page.write_text(text + "<p style='color: #999; background: #fff'>pale</p></main></html>")
    browser.open(page)
    assert [found[0] for found in violations(browser, axe)] == ["color-contrast"]


# -- search ----------------------------------------------------------------------------------------


def results(browser, site, words):
    """Search as a reader does it who opened the site as files."""
    browser.open(site / "search.html")
    browser.driver.get((site / "search.html").as_uri() + "?q=" + words)
    program = """const done = arguments[arguments.length - 1];
    const look = () => document.querySelector('#search-results h2 ~ p, .search-summary')?.innerText
        .match(/\\\\d|not match/) && !document.querySelector('#search-progress')?.innerText
        ? done([...document.querySelectorAll('#search-results li a')].map(x => x.href))
        : setTimeout(look, 50);
    look()"""
    return browser.driver.execute_async_script(program.replace("\\\\", "\\"))


def test_search_works_without_a_server(site, browser):
    found = results(browser, site, "minibatches")
    assert any(x.split("#")[0].split("?")[0].endswith("howto/minibatches.html") for x in found)
    assert not [x for x in browser.driver.get_log("browser") if x["level"] == "SEVERE"]


def test_search_finds_nothing_for_nonsense(site, browser):
    assert results(browser, site, "qqqzzzxxx") == []
