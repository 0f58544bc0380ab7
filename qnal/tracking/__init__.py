"""Recording of runs in MLflow; no other package imports it.

Runs are addressed by their ids, never by MLflow's active run, so that the jobs of a multirun cannot
mix. If the store fails, a warning is printed once, the job continues, and the rest of it is not
recorded.
"""

from qnal.tracking.note import Note
from qnal.tracking.recorder import Recorder, open_recorder
from qnal.tracking.run import Run, flattened, save_figure

__all__ = ["Note", "Recorder", "Run", "flattened", "open_recorder", "save_figure"]
