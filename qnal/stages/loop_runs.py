"""Tracking of ``stage=loop``: one child run per strategy and repeat."""

import pandas as pd

from qnal.tracking import Run


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
            numbers = part.drop(columns=["repeat"]).select_dtypes(["number", "bool"])
            series = {}
            for name in numbers.columns.drop("labels"):
                known = numbers[["labels", name]].dropna()
                series[str(name)] = dict(zip(known["labels"], known[name], strict=True))
            child.series(series)
