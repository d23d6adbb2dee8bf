"""The site, for Sphinx: `sphinx-build -W --keep-going docs docs/_build`."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpydoc.xref

import elbo_ref

numpydoc.xref.DEFAULT_LINKS.clear()  # to Python's and NumPy's pages, which are elsewhere

project = "elbo_ref"
author = "The elbo_ref developers"
copyright = "2026, the elbo_ref developers"
version = release = elbo_ref.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "elbo_site",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "jupyter_execute"]
nitpicky = True
nitpick_ignore = [  # not public, but worth a name in See Also
    ("py:obj", "elbo_ref.io.datasets.load"),
    ("py:obj", "elbo_ref.mle.tests.same_prior_test"),
]
nitpick_ignore_regex = [("py:class", ".*")]  # types in signatures; a public one becomes a link

myst_enable_extensions = ["dollarmath", "attrs_block"]
myst_heading_anchors = 4
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_kernel_rgx_aliases = {".*": "python3"}

autosummary_generate = True
autodoc_typehints = "signature"  # numpydoc's sections have them in words, with shapes
autodoc_typehints_format = "short"
autodoc_type_aliases = {
    "FloatArray": "NDArray[float64]",
    "IntArray": "NDArray[int64]",
    "BoolArray": "NDArray[bool]",
}
python_maximum_signature_line_length = 80
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_aliases = {name: f"elbo_ref.{name}" for name in elbo_ref.__all__}
numpydoc_xref_ignore = "all"  # the words around them
default_role = "code"

html_theme = "furo"
html_title = "elbo_ref"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_sphinx = False
html_copy_source = False
html_show_search_summary = False  # its texts are fetched, which a page opened as a file cannot do
html_theme_options = {"navigation_with_keys": True}
