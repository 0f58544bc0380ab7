"""Tracking of ``stage=loop``: one child run per strategy and repeat."""

import pandas as pd
from pandas.api.types import is_numeric_dtype

from qnal.tracking import Run

IDENTITY = ("strategy", "repeat", "labels")


def record_loops(curves: pd.DataFrame, run: Run) -> None:
    """Record the learning curves, with the number of labels as MLflow's step.

    Members have no runs of their own here.
    """
    for (strategy, repeat), part in curves.groupby(["strategy", "repeat"], sort=False):
        tags = {
            "qnal.stage": "loop curve",
            "qnal.strategy": str(strategy),
            "qnal.repeat": str(repeat),
        }
        with run.recorder.run(f"{strategy} {repeat}", run, tags) as child:
            for name in part.columns.drop(list(IDENTITY)):
                values = part.set_index("labels")[name].dropna()
                if len(values) and is_numeric_dtype(values):
                    by_labels = zip(values.index.tolist(), values.tolist(), strict=True)
                    child.series(str(name), dict(by_labels))
