"""The configuration's keys: type, valid values and meaning of each.

The keys of each section are in the ``…_keys`` modules beside this one. ``conf/`` holds the default
values. :mod:`qnal.config.validation` checks a composed configuration against these classes, and
:mod:`qnal.config.reference` writes ``docs/configuration.md`` from them.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from qnal.config import plugin
from qnal.config.data_keys import DataConfig
from qnal.config.key import Valid, at_least, key
from qnal.config.labelling_keys import InspectConfig, LabelConfig, QueryConfig
from qnal.config.scoring_keys import InferConfig, SomConfig
from qnal.config.study_keys import CompareConfig, LoopConfig
from qnal.config.tracking_keys import TrackingConfig
from qnal.config.training_keys import EnsembleConfig, LinesConfig, NetworkConfig, TrainConfig
from qnal.spectra.readers.reader import Reader


class Stage(StrEnum):
    """What a job does."""

    train = "train"
    som = "som"
    infer = "infer"
    query = "query"
    inspect = "inspect"
    label = "label"
    mock = "mock"
    loop = "loop"
    compare = "compare"
    pipeline = "pipeline"


@dataclass
class Config:
    """All keys of a job."""

    stage: Stage | None = key("what the job does")
    seed: int = key("seed of all random numbers", at_least(0))
    work_dir: str = key(
        "folder of all results: ensembles, SOMs, scores, runs and the MLflow store",
        Valid("the path of a folder", lambda v: v.strip() != ""),
    )
    objective: str | None = key(
        "metric of summary.json that a job returns to a Hydra sweeper, such as oob_completeness; "
        "with a minus sign in front, its negative",
        Valid("the name of a metric", lambda v: bool(re.fullmatch(r"[+-]?\w+", v))).or_null("none"),
    )
    traceback: bool = key("print a traceback when a job is refused")
    data: DataConfig = key("input spectra")
    reader: dict[str, Any] = key(
        "how the pool is read, set by the choice of `reader`: `_target_`, a subclass of "
        "qnal.spectra.readers.reader.Reader, and its arguments"
    )
    network: NetworkConfig = key("structure of new networks")
    lines: LinesConfig = key("emission lines that a network detects")
    train: TrainConfig = key("training of members")
    ensemble: EnsembleConfig = key("the ensemble and its votes")
    som: SomConfig = key("the self-organizing map (SOM)")
    infer: InferConfig = key("scoring of a pool")
    query: QueryConfig = key("selection of spectra to inspect")
    loop: LoopConfig = key("the closed loop, simulated on the labelled set")
    inspect: InspectConfig = key("the inspection page")
    label: LabelConfig = key("labels that inspectors returned")
    compare: CompareConfig = key("comparison of two ensembles")
    executor: dict[str, Any] = key(
        "where members are trained and files scored: `_target_`, a concurrent.futures.Executor, "
        "and its arguments"
    )
    tracking: TrackingConfig = key("recording of runs in MLflow")

    def created_reader(self, named: dict[str, Any] | None = None) -> Reader:
        """The reader; ConfigError if ``reader`` does not name one or its settings are wrong.

        Args:
            named: the reader that made a dataset, instead of ``reader``.
        """
        defaults, node = {"use_mask": self.data.use_mask}, named or self.reader
        reader: Reader = plugin.create(node, "reader", Reader, defaults)  # type: ignore[type-abstract]
        reader.check()
        return reader

    @property
    def work(self) -> Path:
        """The work folder, absolute."""
        return Path(self.work_dir).expanduser().absolute()
