"""The page's two figures, which BokehJS draws and the page's script fills."""

import json
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from bokeh.embed import json_item
from bokeh.models import BasicTicker, ColumnDataSource, CrosshairTool, LinearAxis, Range1d, Span
from bokeh.models.glyphs import VSpan
from bokeh.plotting import figure

from qnal.figure_style import FAINT, INK, LINES

# Okabe and Ito's colours, which the colour-blind can tell apart; line styles differ as well.
ARM_COLOURS = ("#0072B2", "#D55E00", "#882E72")
EMISSION, ABSORPTION = "#009E73", "#555555"
QUASAR, OTHER = "#0072B2", "#E69F00"


def figure_documents(arms: Sequence[str]) -> dict[str, Any]:
    """What ``Bokeh.embed.embed_item`` takes, by the name of the element to draw in.

    Args:
        arms: names of the arms of the spectrograph.
    """
    figures = {"spectrum": _spectrum(arms), "members": _members()}
    documents = {name: json_item(plot, name) for name, plot in figures.items()}
    return json.loads(json.dumps(documents))


def _spectrum(arms: Sequence[str]) -> figure:
    plot = figure(
        name="spectrum",
        sizing_mode="stretch_both",
        x_range=Range1d(3600, 9824),
        y_range=Range1d(0, 1),
        tools="box_zoom,xwheel_zoom,pan,reset",
        active_drag="box_zoom",
        active_scroll="xwheel_zoom",
        toolbar_location="right",
        output_backend="canvas",
    )
    _style(plot)
    plot.toolbar.logo = None
    plot.add_tools(CrosshairTool(line_color=LINES))
    plot.extra_y_ranges = {"share": Range1d(0, 1)}  # 0 is the bottom of the frame, 1 its top
    plot.xaxis.axis_label = "observed wavelength [Å]"
    plot.yaxis.axis_label = "flux [10⁻¹⁷ erg/s/cm²/Å]"
    plot.extra_x_ranges = {"rest": Range1d(3600, 9824)}
    rest = LinearAxis(x_range_name="rest", axis_label="rest wavelength [Å]")
    _style_axis(rest)
    plot.add_layout(rest, "above")
    for camera, colour in zip(arms, cycle(ARM_COLOURS), strict=False):
        source = ColumnDataSource({"wave": [], "flux": [], "smooth": [], "noise": []}, name=camera)
        plot.line("wave", "flux", source=source, color=colour, alpha=0.18, line_width=0.8)
        plot.line("wave", "noise", source=source, color=FAINT, alpha=0.7, line_width=1,
                  name=f"noise_{camera}")  # fmt: skip
        plot.line("wave", "smooth", source=source, color=colour, line_width=1.3)
    for name, colour, dash in (
        ("emission", EMISSION, "solid"),
        ("absorption", ABSORPTION, "dashed"),
        ("edges", FAINT, "dotted"),
    ):
        source = ColumnDataSource({"wave": [], "label": [], "share": []}, name=name)
        span = VSpan(x="wave", line_color=colour, line_dash=dash, line_width=1.2)
        plot.add_glyph(source, span, name=f"{name}_lines", level="underlay")
        plot.text("wave", "share", "label", source=source, y_range_name="share", x_offset=3,
                  text_color=colour, text_font_size="11px", name=f"{name}_labels")  # fmt: skip
    return plot


def _members() -> figure:
    plot = figure(
        name="members",
        sizing_mode="stretch_both",
        x_range=Range1d(0, 5),
        y_range=Range1d(0, 1),
        tools="",
        toolbar_location=None,
    )
    _style(plot)
    plot.xaxis.axis_label = "redshift of the members"
    plot.yaxis.ticker = BasicTicker(min_interval=1, desired_num_ticks=3)
    for name, colour, hatch in (("quasar", QUASAR, None), ("other", OTHER, "/")):
        source = ColumnDataSource({"left": [], "right": [], "bottom": [], "top": []}, name=name)
        plot.quad("left", "right", "top", "bottom", source=source, fill_color=colour,
                  line_color="white", line_width=0.5, hatch_pattern=hatch, hatch_color="white",
                  hatch_alpha=0.6)  # fmt: skip
    plot.add_layout(Span(name="shown", location=-1, dimension="height", line_color=INK,
                         line_dash="dotted", line_width=1.5))  # fmt: skip
    return plot


def _style(plot: figure) -> None:
    plot.outline_line_color = None
    plot.grid.grid_line_color = LINES
    plot.grid.grid_line_alpha = 0.6
    for axis in plot.axis:
        _style_axis(axis)


def _style_axis(axis: LinearAxis) -> None:
    axis.axis_label_text_font_style = "normal"
    axis.axis_label_text_color = axis.major_label_text_color = INK
    axis.axis_label_text_font_size = "12px"
    axis.major_label_text_font_size = "11px"
    axis.axis_line_color = axis.major_tick_line_color = FAINT
    axis.minor_tick_line_color = None
