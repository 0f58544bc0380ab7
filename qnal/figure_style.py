"""The look that the figures of a query and of a map share.

All are drawn with matplotlib's objects, without pyplot's global state, so that they can be made in
any thread and leave a notebook's figures alone.
"""

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK, FAINT, LINES = "#22262e", "#6b7280", "#d6d9df"
BEFORE, AFTER, CHOSEN = "#b9c4d6", "#2f5d8c", "#c8502d"  # also told apart without colour


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """A figure of ``width`` × ``height`` inches and its rows × columns panels, row by row."""
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
    """A number as a reader says it: 25k, 3M."""
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}"
