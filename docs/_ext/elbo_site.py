"""What Sphinx lacks for these pages.

Formulas are MathML, which browsers draw themselves. Pages stay plain Markdown that GitHub shows as
well: an anchor in them is an HTML element, a link to a page has the name of its file, a link to
a file outside this folder leads to its source, and a public name is code, `er.Counts`. Here these
become targets, titles, pages that show the source, and links to the reference. What the theme
leaves unnamed is named.
"""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

ANCHOR = re.compile(r'^<a id="([\w-]+)"></a>', re.MULTILINE)
FILE_NAME = re.compile(r"\[(?:docs/)?[\w-]+\.md\]\((?=[\w./-]+\.md)")
LINK = re.compile(r"\]\((?P<path>(?:\.\./)*[\w./-]+\.(?:py|txt|json|cff))\)")
LANGUAGES = {"py": "python", "json": "json", "txt": "text", "cff": "yaml"}
PYTHON = re.compile(r"^```python\n.*?^```$", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"\(E(?P<equation>\d+)\)|docs/(?P<page>[\w-]+)\.md")
NAME = re.compile(r"(?:er\.|elbo_ref\.)?(?P<name>[A-Za-z_]\w*(?:\.\w+)*)(?:\(.*\))?", re.DOTALL)
MOST = 100_000
"""Characters of a source that are shown; of a longer one the beginning."""


# -- formulas --------------------------------------------------------------------------------------


def visit_math(self, node):
    """Write a formula as MathML."""
    block = isinstance(node, nodes.math_block)
    spaced = re.sub(r"\\log (?=[A-Za-z])", r"\\log\\, ", node.astext())
    spaced = re.sub(r"(?<=[A-Za-z)}]) \\log", r"\\, \\log", spaced)
    markup = tex2mathml(spaced, as_block=block)
    name = "div" if block else "span"
    self.body.append(f'<{name} class="math notranslate">{markup}</{name}>')
    raise nodes.SkipNode


# -- Markdown as GitHub reads it -------------------------------------------------------------------


def read_markdown(app, docname, source):
    """Turn what GitHub reads as well into what MyST has for it."""
    if docname.startswith("source/"):
        return
    deep = "../" * docname.count("/")

    def to_source(match):
        file = _linked(docname, match["path"])
        return match[0] if file is None else f"]({deep}{_page(file)}.md)"

    text = PYTHON.sub(lambda match: match[0].replace("\n\n```", "\n```"), source[0])
    text = ANCHOR.sub(r"(\1)=\n", text)
    text = FILE_NAME.sub("[](", text)
    source[0] = LINK.sub(to_source, text)


def _linked(docname, path):
    """Resolve a link of a page to a file of the repository, or None."""
    found = (DOCS / docname).parent.joinpath(path).resolve()
    return found if found.is_file() and found.is_relative_to(ROOT) else None


def _page(file):
    return "source/" + file.relative_to(ROOT).as_posix()


def write_sources(app):
    """Write a page for each source file that some page links to."""
    wanted = set()
    for page in [*DOCS.glob("*.md"), *DOCS.glob("*/*.md")]:
        name = page.relative_to(DOCS).with_suffix("").as_posix()
        if not name.startswith(("source/", "_")):
            links = LINK.finditer(page.read_text("utf-8"))
            wanted |= {found for link in links if (found := _linked(name, link["path"]))}
    for file in sorted(wanted):
        page = DOCS / (_page(file) + ".md")
        page.parent.mkdir(parents=True, exist_ok=True)
        whole = _shown(file)
        if not page.exists() or page.read_text("utf-8") != whole:
            page.write_text(whole, "utf-8")


def _shown(file):
    """Write the Markdown that shows a source."""
    text, note = file.read_text("utf-8"), ""
    if len(text) > MOST:
        text, note = text[:MOST].rsplit("\n", 1)[0], "The beginning of a long file.\n\n"
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    title = file.relative_to(ROOT).as_posix()
    head = f"---\norphan: true\nnosearch: true\n---\n\n# {title}\n\n{note}"
    return f"{head}{fence}{LANGUAGES[file.suffix[1:]]}\n{text}\n{fence}\n"


# -- names, equations and pages in the text --------------------------------------------------------


class LinkNames(SphinxPostTransform):
    """Lead public names in code, tags such as (E5) and names of pages to where they stand."""

    default_priority = 20

    def run(self, **kwargs):
        """Replace each of them by a link."""
        self.here = self.env.current_document.docname
        if self.here.startswith("source/"):
            return
        for node in list(self.document.findall(nodes.literal)):
            self._name(node)
        for node in list(self.document.findall(nodes.Text)):
            if not _within(node, (nodes.reference, nodes.title, nodes.FixedTextElement)):
                self._places(node)

    def _name(self, node):
        """Link a piece of code: `er.Counts` anywhere, `Counts` in the reference."""
        text, match = node.astext(), NAME.fullmatch(node.astext())
        marked = text.startswith(("er.", "elbo_ref.")) or self.here.startswith("api/")
        if match is None or not marked or _within(node, (nodes.reference, nodes.title)):
            return
        target = self.env.domaindata["py"]["objects"].get(f"elbo_ref.{match['name']}")
        if target is not None and target.docname != self.here:
            node.replace_self(self._link(target.docname, target.node_id, node.deepcopy()))

    def _places(self, node):
        """Link the equations and pages that a text names."""
        text, parts, end = node.astext(), [], 0
        for match in PLACE.finditer(text):
            page = match["page"] or "equations"
            if page in self.env.found_docs and page != self.here:
                anchor = "" if match["page"] else f"e{match['equation']}"
                parts += [nodes.Text(text[end : match.start()])]
                parts += [self._link(page, anchor, nodes.inline("", match[0]))]
                end = match.end()
        if parts:
            node.parent.replace(node, [*parts, nodes.Text(text[end:])])

    def _link(self, page, anchor, content):
        return make_refnode(self.app.builder, self.here, page, anchor, content)


def _within(node, kinds):
    while node := node.parent:
        if isinstance(node, kinds):
            return True
    return False


# -- what readers with a screen reader need --------------------------------------------------------

PARAMETERS = '<span class="sig-paren">(</span>\n\n<dl>'
MENDED = {
    ' role="heading"': "",
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="All pages">',
    '<aside class="toc-drawer">': '<aside class="toc-drawer" aria-label="This page">',
    '<th class="head"><p></p></th>': "<td></td>",
    PARAMETERS: PARAMETERS.replace("<dl>", '<dl role="none">'),
    '<div id="search-results"></div>': '<h1>Search</h1>\n<div id="search-results"></div>',
}
"""Of the theme's markup: captions that are no headings, nameless regions, empty headers, and lists
of parameters as lists of definitions without terms."""


def mend(app, exception):
    """Mend the markup of each page."""
    if exception is None and app.builder.format == "html":
        for page in Path(app.outdir).rglob("*.html"):
            text = mended = page.read_text("utf-8")
            for old, new in MENDED.items():
                mended = mended.replace(old, new)
            if mended != text:
                page.write_text(mended, "utf-8")


def setup(app):
    """Register all of it."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math, None))
    app.connect("builder-inited", write_sources, priority=100)
    app.connect("source-read", read_markdown)
    app.add_post_transform(LinkNames)
    app.connect("build-finished", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
