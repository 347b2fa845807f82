"""What the documentation is made with, besides Sphinx.

pages        gallery, API reference and the project's own files as pages, from what there is
api          which public names there are, and which question each module answers
prose        the house's docstrings as reStructuredText
equations    LaTeX as MathML, which browsers draw by themselves
links        whether every link leads somewhere, and nothing is loaded from the network
"""
