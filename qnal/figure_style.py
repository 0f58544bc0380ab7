"""Colours and axes style of all figures.

Figures are created without pyplot's global state, so that they can be drawn in any thread and do
not interfere with the figures of a notebook.
"""

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, FAINT, LINES = "#22262e", "#6b7280", "#d6d9df"
BEFORE, AFTER, CHOSEN = "#b9c4d6", "#2f5d8c", "#c8502d"  # distinct in greyscale, too


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """A figure of ``width`` × ``height`` inches with rows × columns panels, listed row by row."""
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    all_axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(FAINT)
        axes.tick_params(which="both", colors=FAINT, labelsize=9)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        axes.set_axisbelow(True)
    return figure, all_axes


def short(value: float, _: int | None = None) -> str:
    """A number with a unit prefix (25k, 3M); usable as a tick formatter of matplotlib."""
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}"
