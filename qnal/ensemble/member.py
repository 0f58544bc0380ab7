"""Training one member: the unit of work of the train stage."""

import importlib.metadata
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from qnal.ensemble.bootstrap import Bootstrap, draw_bag, out_of_bag, streams
from qnal.ensemble.evaluation import quality
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.forward import Backend, answers, forward
from qnal.ensemble.votes import MemberAnswers, Thresholds, votes
from qnal.errors import ConfigError
from qnal.network.structure import Structure
from qnal.network.targets import targets
from qnal.network.training import Schedule, Trainer
from qnal.spectra.labelled import LabelledSet

ATTEMPTS = 2


class DivergedError(Exception):
    """Training of a member gave no finite loss, at every attempt."""


@dataclass(frozen=True)
class MemberRecipe:
    """All that a member is made from, besides the labelled set."""

    structure: Structure
    schedule: Schedule
    thresholds: Thresholds
    bootstrap: Bootstrap
    seed: int
    threads: int


class MemberTrainer:
    """Trains members of one ensemble in this process, into its folder."""

    def __init__(self, recipe: MemberRecipe, labelled: LabelledSet, folder: EnsembleFolder) -> None:
        use_threads(recipe.threads)
        self.recipe = recipe
        self.labelled = labelled
        self.folder = folder
        structure = recipe.structure
        self.trainer = Trainer(
            structure.initial(np.random.default_rng(0)),
            recipe.schedule,
            labelled.x,
            targets(
                labelled.column("LABEL"),
                labelled.column("Z"),
                labelled.column("BAL"),
                lines=structure.lines,
                bal_lines=structure.bal_lines,
                boxes=structure.boxes,
                grid=structure.grid,
            ),
        )

    def train(
        self, member: int, on_epoch: Callable[[int, int, float], None] | None = None
    ) -> dict[str, Any]:
        """Train a member unless it is there; two processes never train the same one.

        Args:
            member: its number.
            on_epoch: called with epochs done, epochs in all, and the loss.

        Returns:
            The member's record.

        Raises:
            DivergedError: no attempt gave a finite loss.
        """
        lock = self.folder.lock(member)
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            record = self.folder.record(member)
            if record is not None:
                return record
            for attempt in range(ATTEMPTS):
                record = self._attempt(member, attempt, on_epoch)
                if record is not None:
                    return record
        raise DivergedError(
            f"member {member} has no finite loss in {ATTEMPTS} attempts; a lower "
            "train.learning_rate may help"
        )

    def _attempt(
        self, member: int, attempt: int, on_epoch: Callable[[int, int, float], None] | None
    ) -> dict[str, Any] | None:
        recipe, labelled = self.recipe, self.labelled
        random = streams(recipe.seed, member, attempt)
        targetid = labelled.column("TARGETID")
        bag = draw_bag(targetid, recipe.bootstrap, random.bag)
        epochs = recipe.schedule.epochs_for(len(bag))
        network, losses = self.trainer.fit(
            recipe.structure.initial(random.weights),
            bag,
            random.fit,
            (lambda done, loss: on_epoch(done, epochs, loss)) if on_epoch else None,
        )
        if not (np.isfinite(losses[-1]) and network.is_finite()):
            return None
        rows = out_of_bag(targetid, bag)
        member_of_one = [(network, forward(network, Backend.tensorflow))]
        said = answers(member_of_one, labelled.x[rows], recipe.thresholds) if len(rows) else None
        oob = _table(labelled, rows, said)
        record = {
            "member": member,
            "seed": [recipe.seed, member],
            "attempt": attempt,
            "threads": recipe.threads,
            "versions": versions(),
            "epochs": len(losses),
            "bag_rows": len(bag),
            "oob_rows": len(rows),
            "loss": losses,
            "oob": self._quality(rows, oob),
        }
        return self.folder.add(network, oob, record)

    def _quality(self, rows: np.ndarray, oob: pd.DataFrame) -> dict[str, float | None]:
        vote = votes(oob["DECIDING"].to_numpy(), oob["Z_BEST"].to_numpy(), self.recipe.thresholds)
        return quality(
            self.labelled.column("LABEL")[rows],
            self.labelled.column("Z")[rows],
            vote > 0,
            oob["Z_BEST"].to_numpy(),
        )


def _table(labelled: LabelledSet, rows: np.ndarray, said: MemberAnswers | None) -> pd.DataFrame:
    """Out-of-bag answers of one member, with the identity of each spectrum."""
    table = labelled.table.iloc[rows][["SOURCE", "TARGETID", "EXPID", "FILE", "ROW"]]
    table = table.reset_index(drop=True)
    table.insert(0, "INDEX", rows)
    empty = np.zeros(0, np.float32)
    table["DECIDING"] = said.deciding[:, 0] if said else empty
    table["Z_BEST"] = said.z_best[:, 0].astype(np.float64) if said else empty.astype(np.float64)
    table["CONFIDENCE"] = said.confidence[:, :, 0].max(axis=1) if said else empty
    if said and said.bal.shape[1]:
        table["BAL"] = said.bal[:, 0, 0]
    return table


def use_threads(threads: int) -> None:
    """Fix TensorFlow's threads in this process, on which the last bit of a member depends.

    Raises:
        ConfigError: TensorFlow has already computed with another number of threads.
    """
    from qnal.network.tf import tf

    if tf.config.threading.get_intra_op_parallelism_threads() == threads:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        # 0 stands for as many as there are processors.
        used = tf.config.threading.get_intra_op_parallelism_threads()
        used = used or len(os.sched_getaffinity(0))
        if used != threads:
            raise ConfigError(
                f"train.threads={threads}, but this process has already computed with {used}; "
                "use one value in all jobs of a multirun."
            ) from error


def versions() -> dict[str, str]:
    """Versions on which a member's exact weights depend."""
    return {name: importlib.metadata.version(name) for name in ("numpy", "tensorflow")}
