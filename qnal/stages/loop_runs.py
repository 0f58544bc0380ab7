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
            by_labels = part.drop(columns=["strategy", "repeat"]).set_index("labels")
            numbers = by_labels.select_dtypes(["number", "bool"])
            child.series({str(name): numbers[name].dropna().to_dict() for name in numbers})
