"""LaTeX as MathML: browsers draw it without scripts or pictures, so a page works offline.

Drawn well it is with a font for mathematics, which not every system has: STIX Two Math comes with the
package ziamath, and goes with the pages.
"""

import pathlib

import ziamath
from docutils import nodes
from latex2mathml import converter

FONT = pathlib.Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf"


def setup(app):
    """Tell Sphinx of the renderer `mathml`."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))


def _inline(self, node):
    self.body.append(converter.convert(node.astext(), display="inline"))
    raise nodes.SkipNode


def _block(self, node):
    equation = converter.convert(node.astext(), display="block")
    self.body.append(f'<div class="equation">{equation}</div>\n')
    raise nodes.SkipNode
