"""One MLflow run: its params, metrics, files and figures."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qnal.tracking.recorder import Recorder

PARAM_LIMIT = 6000  # MLflow's limit for the characters of a param
BATCH_METRICS, BATCH_PARAMS = 1000, 100  # MLflow's limits for one request
FIGURE_DPI = 150


@dataclass(frozen=True)
class Run:
    """A run of a recorder; without tracking its methods do nothing.

    Attributes:
        recorder: the store that the run belongs to.
        id: MLflow's id of the run; None without tracking.
    """

    recorder: "Recorder"
    id: str | None

    def config(self, config: Mapping[str, Any]) -> None:
        """Log the configuration as params with dotted names and as ``config.yaml``."""
        from mlflow.entities import Param

        params = [Param(k, str(v)[:PARAM_LIMIT]) for k, v in flattened(config).items()]
        for i in range(0, len(params), BATCH_PARAMS):
            self._call("log_batch", params=params[i : i + BATCH_PARAMS])
        self.dictionary(config, "config.yaml")

    def metrics(self, metrics: Mapping[str, float | int | None]) -> None:
        """Log numbers; undefined ones (None) are left out."""
        self._log({name: {0: value} for name, value in metrics.items() if value is not None})

    def curves(self, curves: Mapping[str, Sequence[float]]) -> None:
        """Log one number per epoch; epochs are counted from 1."""
        self._log({name: dict(enumerate(values, start=1)) for name, values in curves.items()})

    def series(self, name: str, values: Mapping[int, float]) -> None:
        """Log numbers by step, such as the number of members."""
        self._log({name: values})

    def file(self, path: Path, folder: str | None = None) -> None:
        """Log a file as an artifact, in a folder of the run's artifacts."""
        self._call("log_artifact", str(path), folder)

    def dictionary(self, content: Mapping[str, Any], name: str) -> None:
        """Log a mapping as an artifact, in JSON or YAML by the suffix of ``name``."""
        self._call("log_dict", json.loads(json.dumps(content, default=str)), name)

    def figure(self, figure: "Figure", path: Path) -> None:
        """Save a figure and log it in the folder ``figures``."""
        save_figure(figure, path)
        self.file(path, "figures")

    def _log(self, series: Mapping[str, Mapping[int, float]]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(name, float(value), now, int(step))
            for name, values in series.items()
            for step, value in values.items()
        ]
        for i in range(0, len(metrics), BATCH_METRICS):
            self._call("log_batch", metrics=metrics[i : i + BATCH_METRICS])

    def _call(self, method: str, *args: Any, **kwargs: Any) -> None:
        if self.id is not None:
            self.recorder.call(method, self.id, *args, **kwargs)


def save_figure(figure: "Figure", path: Path) -> None:
    """Save a figure in the format of the suffix of ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=FIGURE_DPI, bbox_inches="tight")


def flattened(value: Any, prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one level of dotted keys."""
    if isinstance(value, Mapping) and value:
        return {k: v for n, w in value.items() for k, v in flattened(w, f"{prefix}{n}.").items()}
    return {prefix.rstrip("."): value}
