"""Settings of the documentation site; ``make docs`` builds it into ``docs/_build``."""

import re
import tomllib
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
# Pages that are files in the root of the repository, where GitHub shows them.
ROOT_PAGES = {
    "index": "README.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
}
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)]+)\)")

project = "qnal"
author = "The qnal developers"
copyright = "2026, the qnal developers"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

extensions = ["autoapi.extension", "myst_parser", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
myst_heading_anchors = 3
html_theme = "furo"

# The API reference is read from the source: nothing is imported, so TensorFlow is not loaded.
autoapi_dirs = [str(ROOT / "qnal")]
autoapi_ignore = ["*/qnal/conf/*"]
autoapi_root = "api"
autoapi_options = ["members", "undoc-members", "show-inheritance", "show-module-summary"]
autoapi_member_order = "bysource"
autoapi_python_class_content = "both"
# Constants without a docstring are not in the reference; importing them is no mistake.
suppress_warnings = ["autoapi.python_import_resolution"]
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes are described once, where the class lists them
napoleon_use_rtype = False  # "Returns:" describes the value; its type stands in the signature


def root_page(_app: Sphinx, page: str, source: list[str]) -> None:
    """Put a file of the root in front of its page, with links relative to ``docs/``."""
    if page in ROOT_PAGES:
        text = (ROOT / ROOT_PAGES[page]).read_text()
        source[0] = LINK.sub(lambda link: f"]({_in_docs(link[1])})", text) + "\n" + source[0]


def _in_docs(target: str) -> str:
    for page, file in ROOT_PAGES.items():
        if target == file:
            return f"{page}.md"
    return target.removeprefix("docs/") if target.startswith("docs/") else f"../{target}"


def setup(app: Sphinx) -> None:
    """Connect what is needed beyond the settings."""
    app.connect("source-read", root_page)
