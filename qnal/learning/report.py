"""The results of a study: tables, figures and the numbers of its summary."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from qnal.learning import figures
from qnal.learning.curve_area import compare_areas, curve_areas
from qnal.learning.forecast import forecasts_in_hindsight, next_batches
from qnal.learning.label_efficiency import LOWER_BOUND, headline, label_efficiency
from qnal.learning.plan import BASELINE
from qnal.learning.round_metrics import PRIMARY

PAIRS_NEEDED = 6  # below, the Wilcoxon test cannot give p < 0.05


@dataclass(frozen=True)
class StudyReport:
    """What a study shows.

    Attributes:
        tables: tables by name.
        figures: functions that draw the figures, by file name; ``main_figure`` is one of them.
        metrics: numbers by name; None where undefined.
        notes: sentences for the user.
    """

    tables: dict[str, pd.DataFrame]
    figures: dict[str, Callable[[], Figure]]
    main_figure: str
    metrics: dict[str, float | None]
    notes: list[str]


def report(curves: pd.DataFrame, cold: pd.DataFrame | None = None) -> StudyReport:
    """Compare the strategies of a study by :data:`PRIMARY`.

    Args:
        curves: strategy, repeat, round, labels, then the metrics.
        cold: repeat and metrics of ensembles without labels, if there are any.
    """
    cold = pd.DataFrame() if cold is None else cold
    efficiency = label_efficiency(curves, PRIMARY)
    areas = curve_areas(curves, PRIMARY)
    comparison = compare_areas(areas)
    metrics: dict[str, float | None] = {}
    notes = []
    for name, row in headline(efficiency).items():
        metrics[f"label_efficiency_{name}"] = _known(row["efficiency"])
        metrics[f"label_efficiency_{name}_low"] = _known(row["low"])
        metrics[f"label_efficiency_{name}_high"] = _known(row["high"])
        if row["note"] == LOWER_BOUND:
            notes.append(
                f"{name} is already with its first labels above the {row['level']:.3f} that random "
                f"picks reach, so its label efficiency of {row['efficiency']:.1f} is a lower bound."
            )
        elif row["note"]:
            notes.append(
                f"{name} does not reach the {row['level']:.3f} that random picks reach, so that "
                "its label efficiency is undefined."
            )
    for prior, part in _with_prior(curves).items():
        base = f"{BASELINE}_{prior}"
        for name, row in headline(label_efficiency(part, PRIMARY, base)).items():
            key = f"label_efficiency_{name}_over_{base}"
            metrics[key] = _known(row["efficiency"])
            metrics[f"{key}_low"] = _known(row["low"])
            metrics[f"{key}_high"] = _known(row["high"])
    last = curves[curves["round"] == curves["round"].max()]
    for name, value in last.groupby("strategy")[PRIMARY].mean().items():
        metrics[f"{PRIMARY}_{name}"] = _known(value)
    for name, difference, p in comparison[["strategy", "difference", "p_holm"]].to_numpy():
        metrics[f"area_gain_{name}"] = _known(difference)
        metrics[f"area_p_holm_{name}"] = _known(p)
    hindsight = forecasts_in_hindsight(curves, PRIMARY)
    ahead = next_batches(curves, PRIMARY)
    for name, found in ahead.items():
        metrics[f"next_batch_gain_{name}"] = found.gain
        metrics[f"next_batch_gain_{name}_low"] = found.low
        metrics[f"next_batch_gain_{name}_high"] = found.high
        notes.append(f"{name}: {found.sentence()}.")
    metrics["forecasts"] = len(hindsight)
    metrics["forecast_coverage"] = _known(hindsight["inside"].astype(float).mean())
    if len(cold):
        metrics[f"{PRIMARY}_without_labels"] = _known(cold[PRIMARY].mean())
    filled = curves.groupby("strategy")["filled"].sum()
    for strategy, number in filled[filled > 0].items():
        notes.append(
            f"{strategy}: {number} picks were drawn at random, because all other targets had "
            "utility 0."
        )
    if (repeats := curves["repeat"].nunique()) < PAIRS_NEEDED:
        notes.append(
            f"{repeats} repeat{'s are' if repeats > 1 else ' is'} too few to tell which strategy "
            "is better; use loop.repeats=20."
        )
    return StudyReport(
        {
            "curves": curves,
            "label_efficiency": efficiency,
            "areas": comparison,
            "forecasts": hindsight,
        }
        | ({"no_labels": cold} if len(cold) else {}),
        {
            "learning_curves.png": lambda: figures.learning_curves(curves),
            "label_efficiency.png": lambda: figures.efficiency_figure(efficiency, curves),
            "areas.png": lambda: figures.area_figure(areas, comparison),
            "next_batch.png": lambda: figures.next_batch_figure(curves, ahead, PRIMARY),
        },
        "learning_curves.png",
        metrics,
        notes,
    )


def _with_prior(curves: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The curves of each prior beside the first: what choosing gains if both use the prior."""
    start = f"{BASELINE}_"
    names = [str(name) for name in curves["strategy"].unique()]
    priors = [name.removeprefix(start) for name in names if name.startswith(start)]
    return {prior: curves[curves["strategy"].str.endswith(f"_{prior}")] for prior in priors}


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
