"""One MLflow run: its params, metrics, files and figures."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from qnal.tracking.metric_names import grouped
from qnal.tracking.note import Note
from qnal.tracking.params import params

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from qnal.tracking.recorder import Recorder

PARAM_LIMIT = 6000  # MLflow's limit for the characters of a param
BATCH_METRICS, BATCH_PARAMS = 1000, 100  # MLflow's limits for one request
FIGURE_DPI = 150
NOTE_WIDTH = 900  # pixels
DIGEST_LENGTH = 36  # MLflow's limit
NOTE_TAG = "mlflow.note.content"


@dataclass(frozen=True)
class Run:
    """A run of a recorder; without tracking its methods do nothing.

    Attributes:
        recorder: the store that the run belongs to.
        id: MLflow's id of the run; None without tracking.
        figures: files of the figures, by artifact path.
    """

    recorder: "Recorder"
    id: str | None
    figures: dict[str, Path] = field(default_factory=dict, compare=False)

    def config(
        self, config: Mapping[str, Any], stage: str | None = None, overrides: Iterable[str] = ()
    ) -> None:
        """Log the configuration as ``config.yaml``, and the keys that matter as params.

        Args:
            config: the whole configuration.
            stage: name of the stage; None: all keys are params.
            overrides: what the user set, as ``KEY=VALUE``.
        """
        flat = flattened(config)
        self.params(flat if stage is None else params(stage, flat, overrides))
        self.dictionary(config, "config.yaml")

    def params(self, values: Mapping[str, Any]) -> None:
        """Log values that describe what the run did."""
        if self.id is None:
            return
        from mlflow.entities import Param

        entries = [Param(k, str(v)[:PARAM_LIMIT]) for k, v in values.items()]
        for i in range(0, len(entries), BATCH_PARAMS):
            self._call("log_batch", params=entries[i : i + BATCH_PARAMS])

    def input(self, name: str, digest: str, source: Any, rows: float | None, context: str) -> None:
        """Log a data set that the run read.

        Args:
            name: what it is.
            digest: fingerprint of its content.
            source: its path or paths.
            rows: number of spectra, or None if unknown.
            context: what it is used for, such as ``training``.
        """
        if self.id is None:
            return
        from mlflow.entities import Dataset, DatasetInput, InputTag

        where = [str(s) for s in source] if isinstance(source, list | tuple) else str(source)
        dataset = Dataset(
            name,
            digest[:DIGEST_LENGTH],
            "local",
            json.dumps({"uri": where}),
            profile=json.dumps({"num_rows": rows}),
        )
        tags = [InputTag("mlflow.data.context", context)]
        self._call("log_inputs", datasets=[DatasetInput(dataset, tags)])

    def rename(self, name: str) -> None:
        """Give the run another name."""
        self._call("update_run", name=name)

    def tags(self, tags: Mapping[str, str]) -> None:
        """Add tags."""
        for name, value in tags.items():
            self._call("set_tag", name, value)

    def note(self, note: Note) -> None:
        """Describe the run in Markdown, as the UI shows it; without its figure if there is none."""
        if self.id is None:
            return
        file = self.figures.get(note.figure or "")
        if file is not None:
            with TemporaryDirectory() as scratch:
                small = Path(scratch) / file.name
                _shrink(file, small)
                self.file(small, "note")
        note = replace(note, figure=None if file is None else f"note/{file.name}")
        self._call("set_tag", NOTE_TAG, note.markdown(self.id))

    def metrics(self, metrics: Mapping[str, float | int | None]) -> None:
        """Log numbers, in the groups of the UI; undefined ones (None) and details are left out."""
        known = {grouped(name): {0: v} for name, v in metrics.items() if v is not None}
        self._log({name: values for name, values in known.items() if name})

    def curves(self, curves: Mapping[str, Sequence[float]]) -> None:
        """Log one number per epoch; epochs are counted from 1."""
        self._log({name: dict(enumerate(values, start=1)) for name, values in curves.items()})

    def series(self, series: Mapping[str, Mapping[int, float]]) -> None:
        """Log numbers by name and step, such as the number of members."""
        self._log(series)

    def file(self, path: Path, folder: str | None = None) -> None:
        """Log a file as an artifact, in a folder of the run's artifacts."""
        self._call("log_artifact", str(path), folder)

    def dictionary(self, content: Mapping[str, Any], name: str) -> None:
        """Log a mapping as an artifact, in JSON or YAML by the suffix of ``name``."""
        self._call("log_dict", json.loads(json.dumps(content, default=str)), name)

    def figure(self, figure: "Figure", path: Path) -> None:
        """Save a figure and log it in the folder ``figures``."""
        save_figure(figure, path)
        self.saved_figure(path)

    def saved_figure(self, path: Path) -> None:
        """Log the file of a figure in the folder ``figures``."""
        self.figures[f"figures/{path.name}"] = path
        self.file(path, "figures")

    def _log(self, series: Mapping[str, Mapping[int, float]]) -> None:
        if self.id is None:
            return
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


def _shrink(path: Path, to: Path) -> None:
    """Copy a figure at the width of the UI, which shows figures of notes in their full size."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            image.thumbnail((NOTE_WIDTH, NOTE_WIDTH))
            image.save(to)
    except UnidentifiedImageError:  # drawings such as SVG have no pixels
        copyfile(path, to)


def flattened(value: Any, prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one level of dotted keys."""
    if isinstance(value, Mapping) and value:
        return {k: v for n, w in value.items() for k, v in flattened(w, f"{prefix}{n}.").items()}
    return {prefix.rstrip("."): value}
