"""Each page of the site stands alone: its links lead somewhere, and nothing is fetched elsewhere.

Beside each check stands what it must refuse.
"""

from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest

pytestmark = pytest.mark.thorough

FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
IGNORED = {"canonical", "index", "search", "next", "prev", "author", "copyright"}


class Page(HTMLParser):
    """What a page links to, what it fetches, its anchors and its pictures."""

    def __init__(self, text):
        super().__init__()
        self.links, self.fetched, self.anchors, self.unnamed = [], [], set(), []
        self.feed(text)

    def has(self, anchor):
        """Say whether the page has this place; no anchor is its top."""
        return not anchor or anchor in self.anchors

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in FETCHED and found.get(FETCHED[tag]) and found.get("rel") not in IGNORED:
            self.fetched.append(found[FETCHED[tag]])
        if tag == "img" and not (found.get("alt") or "").strip():
            self.unnamed.append(found.get("src"))


def broken(page, folder, known):
    """Links of a page that lead to no file, or to no place in it."""
    found = []
    for link in known(page).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        there = target.is_file() and target.is_relative_to(folder)
        if there and target.suffix == ".html":
            there = known(target).has(unquote(parts.fragment))
        if not there:
            found.append(link)
    return found


@pytest.fixture(scope="module")
def known():
    pages = {}

    def parsed(path):
        if path not in pages:
            pages[path] = Page(path.read_text("utf-8"))
        return pages[path]

    return parsed


def foreign(fetched):
    return [x for x in fetched if urlsplit(x).scheme not in ("", "data") or urlsplit(x).netloc]


def test_links_lead_somewhere(site, page, known):
    assert broken(site / page, site, known) == []


def test_a_link_to_nowhere_is_seen(site, tmp_path, known):
    text = "<a href='no.html'></a><a href='#no'></a><a href='#yes' id='yes'></a>"
    page = tmp_path / "page.html"
    page.write_text(text)
    assert broken(page, tmp_path, known) == ["no.html", "#no"]


def test_nothing_is_fetched_elsewhere(site, page, known):
    assert foreign(known(site / page).fetched) == []


def test_a_foreign_script_is_seen():
    page = Page("<script src='https://cdn.example/x.js'></script><img src='//y/z.png'>")
    assert foreign(page.fetched) == ["https://cdn.example/x.js", "//y/z.png"]


def test_style_sheets_fetch_nothing_elsewhere(site):
    for sheet in site.rglob("*.css"):
        assert "url(http" not in sheet.read_text("utf-8").replace('"', "").replace("'", "")


def test_pictures_say_what_is_on_them(site, page, known):
    assert known(site / page).unnamed == []


def test_a_picture_without_a_text_is_seen():
    assert Page("<img src='x.png' alt=''><img src='y.png' alt='a curve'>").unnamed == ["x.png"]
