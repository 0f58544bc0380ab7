"""The learning curve of real rounds: one row per training with a label table, and its forecast."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from filelock import FileLock
from matplotlib.figure import Figure

from qnal.ensemble.description import EnsembleDescription
from qnal.ensemble.evaluation.reliability import Metrics
from qnal.ensemble.labelled_set import LabelledSet
from qnal.ensemble.recipe import MemberRecipe
from qnal.files import written_aside
from qnal.learning.figures import next_batch_figure
from qnal.learning.forecast import Forecast, forecast
from qnal.learning.plan import BASELINE

CURVE = "learning_curve.csv"
# Metrics on control labels stand for the pool. Out-of-bag metrics also change with the mix of
# classes and magnitudes that the query picks.
MEASURES = ("control_completeness", "oob_completeness")


@dataclass(frozen=True)
class NextRound:
    """What the next batch is expected to bring.

    Attributes:
        forecast: the forecast; None with fewer than two rounds.
        metrics, notes: for the summary.
        figure: draws the curve and the forecast; None without one.
    """

    forecast: Forecast | None
    metrics: Metrics = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    figure: Callable[[], Figure] | None = None


def next_round(
    work: Path,
    recipe: MemberRecipe,
    description: EnsembleDescription,
    labelled: LabelledSet,
    metrics: Metrics,
    batch: int,
) -> NextRound:
    """Add an ensemble to the learning curve of its work folder, and forecast the next batch.

    Ensembles of other settings or sizes are on other curves.

    Args:
        work: the work folder; the curve is its file ``learning_curve.csv``.
        recipe, description, labelled: the ensemble.
        metrics: its report.
        batch: number of targets in the next batch.
    """
    row: dict[str, object] = {
        "ensemble": description.fingerprint,
        "settings": recipe.fingerprint(""),
        "members": metrics.get("members"),
        "labels": labelled.table["TARGETID"].nunique(),
        **{name: metrics.get(name) for name in MEASURES},
    }
    curve = _with_row(work / CURVE, row)
    same = (curve["settings"] == row["settings"]) & (curve["members"] == row["members"])
    curve = curve[same & (curve["labels"] <= row["labels"])].sort_values("labels")
    for name in MEASURES:
        known = curve[curve[name].notna()]
        if len(known) and known["ensemble"].iloc[-1] == row["ensemble"]:
            found = forecast(known["labels"].tolist(), known[name].tolist(), batch)
            if found is not None:
                return _next_round(found, known, name)
    return NextRound(None)


def _next_round(found: Forecast, curve: pd.DataFrame, measure: str) -> NextRound:
    where = "on control labels" if measure == MEASURES[0] else "out of bag"
    note = f"Another round ({len(curve)} rounds so far, {where}): {found.sentence()}."
    if measure != MEASURES[0]:
        note += (
            " Out-of-bag completeness also changes with what the query picks; control picks "
            "(query.control) would measure the pool."
        )
    numbers: Metrics = {
        "next_batch_gain": found.gain,
        "next_batch_gain_low": found.low,
        "next_batch_gain_high": found.high,
        "next_batch": found.batch,
    }
    drawn = curve.assign(strategy=BASELINE)
    return NextRound(
        found,
        numbers,
        [note],
        lambda: next_batch_figure(drawn, {BASELINE: found}, measure),
    )


def _with_row(path: Path, row: dict[str, object]) -> pd.DataFrame:
    """The curve with a row, which replaces an earlier one of the same ensemble and size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        new = pd.DataFrame([row])
        if path.is_file():
            old = pd.read_csv(path)
            other = (old["ensemble"] != row["ensemble"]) | (old["members"] != row["members"])
            new = pd.concat([old[other].dropna(axis=1, how="all"), new], ignore_index=True)
        new = new.reindex(columns=list(row))
        with written_aside(path) as scratch:
            new.to_csv(scratch, index=False)
    return new
