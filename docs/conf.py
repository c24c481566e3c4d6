"""How `make docs` makes a site of this folder with Sphinx, in build/docs.

Pages are Markdown. A line `<!-- generated: NAME -->` is replaced by what `_generate` finds in the
code under that name, so that it is never out of date. Whatever is wrong, such as a link or an
anchor that leads nowhere, fails the build.
"""

import re
import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from _generate import GENERATED

project = "Callboard"
copyright = "the Callboard authors"
release = metadata.version("callboard")

extensions = ["myst_parser"]
myst_heading_anchors = 3
smartquotes = False  # What is printed is what is to be typed.
nitpicky = True

html_theme = "furo"
html_title = "Callboard"
html_show_sourcelink = False
html_copy_source = False

_MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def _fill_in(_app, _page: str, text: list[str]) -> None:
    text[0] = _MARK.sub(lambda mark: GENERATED[mark[1]](), text[0])


def setup(app) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _fill_in)
