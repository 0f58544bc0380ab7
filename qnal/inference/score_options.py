"""How files are scored, and where the results go."""

from dataclasses import dataclass

from qnal.inference.artifacts import SomFiles
from qnal.inference.prediction_cache import PredictionCache
from qnal.network.backends.forward import Backend
from qnal.network.precision import Precision
from qnal.scores.dataset import ScoresFolder


@dataclass(frozen=True)
class Passes:
    """How forward passes are computed: by which backend, in which precision, and by how many rows
    and threads at a time.
    """

    backend: Backend = Backend.tensorflow
    precision: Precision = Precision.float32
    batch_size: int = 512
    threads: int = 1


@dataclass(frozen=True)
class Outputs:
    """Where results go.

    Attributes:
        scores: the scores dataset.
        predictions: the prediction cache; None: predictions are not stored.
        som: the SOM to find BMUs on; None: none are written.
    """

    scores: ScoresFolder
    predictions: PredictionCache | None = None
    som: SomFiles | None = None
