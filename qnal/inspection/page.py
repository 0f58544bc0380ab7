"""The inspection page: one HTML file with BokehJS, the page's own script, and the data."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bokeh.resources import Resources

from qnal.files import written_aside
from qnal.inspection.figures import figure_documents
from qnal.inspection.packed import packed_json
from qnal.inspection.spectral_lines import line_table

HERE = Path(__file__).parent
SCRIPTS = ("decode.js", "labels.js", "table.js", "plot.js", "panel.js", "main.js")


@dataclass(frozen=True)
class PageContent:
    """What a page shows.

    Attributes:
        title: of the campaign; part of the name of the exported file.
        selection: fingerprint of the selection.
        part, parts: number of this file, from 1, and of all files.
        blind: whether the results of the ensemble and Redrock are left out.
        targets: one mapping per target (:mod:`qnal.inspection.targets`).
        spectra: packed spectra of the targets, in the same order.
        grids: packed wavelengths of each camera, one mapping per distinct grid.
        elsewhere: TARGETIDs of the selection that are in the other files.
        arms: names of the arms of the spectrograph.
    """

    title: str
    selection: str
    part: int
    parts: int
    blind: bool
    targets: list[dict[str, Any]]
    spectra: list[str]
    grids: list[dict[str, str]]
    elsewhere: list[str]
    arms: Sequence[str]


def write_page(path: Path, content: PageContent) -> None:
    """Write the page."""
    settings = {
        "title": content.title,
        "selection": content.selection,
        "part": content.part,
        "parts": content.parts,
        "blind": content.blind,
        "lines": line_table(),
        "arms": list(content.arms),
        "figures": figure_documents(content.arms),
        "elsewhere": content.elsewhere,
    }
    data = {"settings": packed_json(settings), "targets": packed_json(content.targets)}
    data["grids"] = packed_json(content.grids)
    template = (HERE / "page.html").read_text(encoding="utf-8")
    before, _, after = template.partition("<!-- data -->")
    with written_aside(path) as scratch, scratch.open("w", encoding="utf-8") as file:
        file.write(_filled(before, content.title))
        for name, packed in data.items():
            file.write(_data_block(name, packed))
        for place, packed in enumerate(content.spectra):
            file.write(_data_block(f"spectrum{place}", packed))
        file.write(_filled(after, content.title))


def _data_block(name: str, packed: str) -> str:
    """A block that browsers neither run nor draw; base64 needs no escaping."""
    return f'<script type="text/plain" id="{name}">{packed}</script>\n'


def _filled(text: str, title: str) -> str:
    """The template with title, style and scripts in place of its marks."""
    text = text.replace("<!-- title -->", html.escape(title))
    text = text.replace("/* style */", (HERE / "page.css").read_text(encoding="utf-8"))
    if "/* bokeh */" in text:
        text = text.replace("/* bokeh */", _inline("\n".join(_bokeh())))
    own = "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return text.replace("/* script */", _inline(own))


def _bokeh() -> list[str]:
    """BokehJS as its wheel ships it, without the parts for widgets, tables, WebGL and formulas."""
    return Resources(mode="inline", components=["bokeh"], log_level="error").js_raw


def _inline(script: str) -> str:
    """A script that may stand in an HTML file: ``</script`` would end it wherever it occurs."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def page_size(path: Path) -> float:
    """Size of a file in MB."""
    return path.stat().st_size / 1e6
