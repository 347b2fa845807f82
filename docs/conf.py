"""Settings of the documentation: `sphinx-build -W --keep-going docs docs/_build/html` makes all of it.

What can be read off the project is not written here twice: `tools/pages.py` makes the gallery, the API
pages and those of the project's own files before Sphinx reads the sources.
"""

import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The tutorials' kernels find the package that is documented, wherever they start.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

from docs.tools import equations, links, pages, prose  # noqa: E402

project = "wedges"
author = "the authors of wedges"
project_copyright = "the authors of wedges, Apache-2.0"
release = re.search(r'__version__ = "(.+)"', (ROOT / "wedges/__init__.py").read_text()).group(1)
version = release

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build", "tools", "**.ipynb_checkpoints"]
nitpicky = True  # a reference that leads nowhere is an error
nitpick_ignore_regex = [
    (r"py:.*", r"(?!wedges\.).*"),  # other projects' names: their pages are on the network
]

# ---- text and notebooks

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_update_mathjax = False
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 300  # seconds a cell, on a busy machine
nb_merge_streams = True
nb_output_stderr = "remove"  # TensorFlow's first words, and bars of progress
suppress_warnings = ["mystnb.unknown_mime_type"]

# ---- docstrings

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say shapes and units, which types do not
autodoc_inherit_docstrings = False  # what a base says is said at the base
autodoc_default_options = {"members": True, "special-members": "__call__"}
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
python_maximum_signature_line_length = 90
toc_object_entries_show_parents = "hide"
add_module_names = True

# ---- how it looks

html_theme = "furo"
pygments_style, pygments_dark_style = "friendly", "monokai"
html_title = f"wedges {release}"
html_static_path = ["_static", str(equations.FONT)]
html_css_files = ["wedges.css"]
templates_path = ["_templates"]
html_math_renderer = "mathml"
html_sourcelink_suffix = ""  # tutorials are downloaded under their own name
html_copy_source = True
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def setup(app):
    """What this site does besides."""
    equations.setup(app)
    prose.setup(app)
    app.connect("config-inited", lambda app, config: pages.write(pathlib.Path(app.srcdir)))
    app.connect("source-read", _relink)
    app.connect("build-finished", links.check_build)


def _relink(app, page, source):
    """A page written by hand links to the project's files, which are pages of the site, too."""
    path = ROOT / "docs" / f"{page}.md"
    if path.exists() and page.split("/")[0] not in pages.MADE:
        source[0] = pages.relinked(source[0], path, page)
