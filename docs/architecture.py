"""Draws the pictures of docs/architecture.md from the code, and writes docs/architecture.json.

Command: python docs/architecture.py

The layers are those of the import-linter contract in pyproject.toml; the imports are read from the
source, without importing anything.
"""

import ast
import json
import tomllib
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
DATA = DOCS / "architecture.json"

# Used until pyproject.toml has a contract; from the top down.
LAYERS = (
    ("cli", "api"),
    ("stages",),
    ("config", "tracking", "summary"),
    ("query",),
    ("inference",),
    ("scores",),
    ("ensemble",),
    ("network", "som"),
    ("labels", "executors"),
    ("spectra",),
    ("errors", "files", "progress", "threads", "tf", "lines", "fingerprint", "job_lock",
     "figure_style"),
)  # fmt: skip

# Each step of a run: what it reads, the stage and the module that does the work, what it writes.
FLOW = (
    (("inspected spectra", "truth tables"), "train", "ensemble/train_task.py", "ensemble"),
    (("pool",), "som", "som/som.py", "SOM"),
    (("pool", "ensemble", "SOM"), "infer", "inference/score_task.py", "scores"),
    (("scores",), "query", "query/select.py", "selection"),
)
# Column and height of each box in the picture of the data flow.
PLACES = {
    "inspected spectra": (0, 2.5), "truth tables": (0, 1.75), "pool": (0, 0.3),
    "train": (1, 2.1), "som": (1, 1.1), "ensemble": (2, 2.1), "SOM": (2, 1.1),
    "infer": (3, 0.3), "scores": (4, 0.3), "query": (5, 0.3), "selection": (6, 0.3),
}  # fmt: skip

INK, FAINT, STAGE, THING = "#1f2933", "#7b8794", "#cfe3f5", "#f3efe2"


def layers() -> list[list[str]]:
    """Names of the packages and modules of qnal, layer by layer from the top."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings.get("tool", {}).get("importlinter", {}).get("contracts", [])
    found = next((c["layers"] for c in contracts if c["type"] == "layers"), None)
    if found is None:
        return [[name for name in layer if _exists(name)] for layer in LAYERS]
    named = [[part.strip(" ()") for part in layer.replace("|", ":").split(":")] for layer in found]
    return [kept for layer in named if (kept := [name for name in layer if _exists(name)])]


def imports() -> dict[str, list[str]]:
    """For each package or module of qnal, the others that it imports."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "qnal").rglob("*.py")):
        parts = path.relative_to(ROOT / "qnal").with_suffix("").parts
        if parts[0] not in ("conf", "__init__", "__main__"):
            found.setdefault(parts[0], set()).update(_imported(path))
    return {name: sorted(others - {name}) for name, others in sorted(found.items())}


def architecture() -> dict[str, object]:
    """What the picture of the layers shows."""
    return {"layers": layers(), "imports": imports()}


def main() -> None:
    """Write the data and both pictures."""
    DATA.write_text(json.dumps(architecture(), indent=1) + "\n")
    draw_layers().savefig(DOCS / "architecture_layers.png", dpi=130)
    draw_flow().savefig(DOCS / "architecture_flow.png", dpi=130)


def draw_layers() -> Figure:
    """One row per layer; below each name, the packages of other layers that it imports."""
    rows, graph = layers(), imports()
    base = rows[-1]  # imported nearly everywhere, so not listed
    figure, axes = _figure(9, 0.82 * len(rows))
    for row, names in enumerate(rows):
        y, width = len(rows) - 1 - row, 10 / len(names)
        for k, name in enumerate(names):
            x = (k + 0.5) * width
            if names is base:
                _box(axes, (x, y), width - 0.1, 0.72, THING)
                axes.text(x, y, name, ha="center", va="center", fontsize=8, color=INK)
                continue
            others = [n for layer in rows[:-1] for n in layer if n in graph.get(name, ())]
            _box(axes, (x, y), width - 0.1, 0.72, STAGE)
            axes.text(x, y + 0.12, name, ha="center", va="center", fontsize=10, color=INK)
            axes.text(x, y - 0.18, ", ".join(others) or "–", ha="center", va="center",
                      fontsize=7, color=FAINT)  # fmt: skip
    axes.set(xlim=(0, 10), ylim=(-0.5, len(rows) - 0.5))
    return figure


def draw_flow() -> Figure:
    """The stages between what they read and what they write."""
    figure, axes = _figure(10, 3.4)
    stages = {stage for _, stage, _, _ in FLOW}
    at = {name: (1.5 * column, height) for name, (column, height) in PLACES.items()}
    for sources, stage, _, made in FLOW:
        for source in sources:
            _arrow(axes, at[source], at[stage])
        _arrow(axes, at[stage], at[made])
    for name, where in at.items():
        _box(axes, where, 1.12, 0.5, STAGE if name in stages else THING)
        text = name.replace(" ", "\n")
        axes.text(*where, text, ha="center", va="center", fontsize=9, color=INK)
    begin, end = at["selection"], at["inspected spectra"]
    again = {"arrowstyle": "->", "color": FAINT, "linestyle": "dashed",
             "connectionstyle": "angle,angleA=90,angleB=0,rad=8"}  # fmt: skip
    axes.annotate("", (end[0] + 0.56, end[1] + 0.1), (begin[0], begin[1] + 0.25), arrowprops=again)
    axes.text(
        begin[0] - 0.1, end[1] - 0.1, "visual inspection", ha="right", color=FAINT, fontsize=9
    )
    axes.set(xlim=(-0.7, 9.7), ylim=(-0.1, 2.9))
    return figure


def _exists(name: str) -> bool:
    if name.startswith("_"):  # __main__
        return False
    return (ROOT / "qnal" / name).is_dir() or (ROOT / "qnal" / f"{name}.py").is_file()


def _imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "qnal":
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").removeprefix("qnal.").split(".")[0]
                      if (node.module or "").startswith("qnal.") else "")  # fmt: skip
        elif isinstance(node, ast.Import):
            names.update(a.name.split(".")[1] for a in node.names if a.name.startswith("qnal."))
    return {name for name in names if name and _exists(name)}


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_axis_off()
    return figure, axes


def _box(axes: Axes, at: tuple[float, float], width: float, height: float, colour: str) -> None:
    corner = (at[0] - width / 2, at[1] - height / 2)
    style = "round,pad=0,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch(corner, width, height, style, facecolor=colour, edgecolor=INK))


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """An arrow from the right edge of one box to the left edge of another."""
    begin, tip = (start[0] + 0.56, start[1]), (end[0] - 0.56, end[1])
    axes.annotate("", tip, begin, arrowprops={"arrowstyle": "->", "color": FAINT})


if __name__ == "__main__":
    main()
