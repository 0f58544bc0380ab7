"""Keys of tracking."""

from dataclasses import dataclass
from enum import StrEnum

from qnal.config.key import key


class TrackingKind(StrEnum):
    """Where runs are recorded."""

    sqlite = "sqlite"
    server = "server"
    none = "none"


@dataclass
class TrackingConfig:
    """Recording of runs in MLflow."""

    kind: TrackingKind = key("which store; set by the choice of `tracking`")
    uri: str | None = key("tracking URI; null for MLFLOW_TRACKING_URI or a database in work_dir")
    experiment: str | None = key(
        "name of the MLflow experiment; null for MLFLOW_EXPERIMENT_NAME or qnal"
    )
