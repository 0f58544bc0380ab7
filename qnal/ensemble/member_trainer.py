"""Training one member: the unit of work of the train stage."""

import importlib.metadata
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from qnal.ensemble.bootstrap import Bootstrap, draw_bag, out_of_bag, streams
from qnal.ensemble.evaluation.metrics import member_metrics
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.labelled_set import LabelledSet
from qnal.ensemble.votes import MemberPredictions, Thresholds, gather
from qnal.lines import column_names
from qnal.network.backends.forward import Backend, forward, member_lines
from qnal.network.hyperparameters import Hyperparameters, Start
from qnal.network.network import Network
from qnal.network.structure import Structure
from qnal.network.targets import targets
from qnal.network.training import Trainer
from qnal.threads import use_threads

ATTEMPTS = 2


class DivergedError(Exception):
    """Training of a member gave no finite loss, at every attempt."""


# A member's number, its epochs done, its epochs in all, and the epoch's mean loss.
OnEpoch = Callable[[int, int, int, float], None]
Records = dict[int, "dict[str, Any] | DivergedError"]


@dataclass(frozen=True)
class MemberRecipe:
    """All that a member is made from, besides the labelled set."""

    structure: Structure
    hyperparameters: Hyperparameters
    thresholds: Thresholds
    bootstrap: Bootstrap
    seed: int
    threads: int
    group: int = 1


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
            recipe.hyperparameters,
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
            recipe.group,
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

        def on_epoch_of(_: int, done: int, total: int, loss: float) -> None:
            if on_epoch:
                on_epoch(done, total, loss)

        record = self.train_group([member], on_epoch_of)[member]
        if isinstance(record, DivergedError):
            raise record
        return record

    def train_group(self, members: Sequence[int], on_epoch: OnEpoch | None = None) -> Records:
        """Train members together, those that are not there.

        Args:
            members: their numbers, of one of the :func:`groups`.
            on_epoch: called with a member's number, its epochs done, its epochs in all, and the
                loss.

        Returns:
            The record of every member, or the error if no attempt gave a finite loss.
        """
        with ExitStack() as locks:
            for member in sorted(members):  # in one order everywhere, or two could wait in a ring
                lock = self.folder.lock(member)
                lock.parent.mkdir(parents=True, exist_ok=True)
                locks.enter_context(FileLock(lock))
            found = {k: self.folder.record(k) for k in members}
            records: Records = {k: record for k, record in found.items() if record is not None}
            for attempt in range(ATTEMPTS):
                missing = [k for k in members if k not in records]
                if missing:
                    records |= self._attempt(missing, attempt, on_epoch)
        for k in members:
            if k not in records:
                records[k] = DivergedError(
                    f"member {k} has no finite loss in {ATTEMPTS} attempts; a lower "
                    "train.learning_rate may help"
                )
        return {k: records[k] for k in members}

    def _attempt(self, members: list[int], attempt: int, on_epoch: OnEpoch | None) -> Records:
        """Fit and store members; those that diverged are left out."""
        recipe, targetid = self.recipe, self.labelled.column("TARGETID")
        starts: dict[int, Start] = {}
        # A member's place follows from its number, since its last bits may follow from its place.
        place_of = {k: k % recipe.group for k in members}
        member_at = {place: k for k, place in place_of.items()}
        if len(member_at) < len(members):
            raise ValueError(f"members {members} are not of one group of {recipe.group}.")
        for k, place in place_of.items():
            random = streams(recipe.seed, k, attempt)
            bag = draw_bag(targetid, recipe.bootstrap, random.bag)
            starts[place] = Start(recipe.structure.initial(random.weights), bag, random.fit)

        def on_epoch_of(place: int, done: int, loss: float) -> None:
            if on_epoch:
                total = recipe.hyperparameters.epochs_for(len(starts[place].rows))
                on_epoch(member_at[place], done, total, loss)

        fits = self.trainer.fit_group(starts, on_epoch_of)
        return {
            member_at[place]: self._store(member_at[place], attempt, starts[place].rows, *fit)
            for place, fit in fits.items()
            if np.isfinite(fit[1][-1]) and fit[0].is_finite()
        }

    def _store(
        self, member: int, attempt: int, bag: np.ndarray, network: Network, losses: list[float]
    ) -> dict[str, Any]:
        """Judge a fitted member out of bag and add it to the folder; returns its record."""
        recipe, labelled = self.recipe, self.labelled
        rows = out_of_bag(labelled.column("TARGETID"), bag)
        said = None
        if len(rows):
            x = np.ascontiguousarray(labelled.x[rows], np.float32)
            function = forward(network, Backend.tensorflow)
            said = gather([member_lines(network, function, x)], recipe.thresholds)
        oob = _table(labelled, rows, said, column_names(network.lines))
        record = {
            "member": member,
            "seed": [recipe.seed, member],
            "attempt": attempt,
            "threads": recipe.threads,
            "group": recipe.group,
            "versions": versions(),
            "epochs": len(losses),
            "bag_rows": len(bag),
            "oob_rows": len(rows),
            "loss": losses,
            "oob": self._quality(rows, oob),
        }
        return self.folder.add(network, oob, record)

    def _quality(self, rows: np.ndarray, oob: pd.DataFrame) -> dict[str, float | None]:
        return member_metrics(self.labelled.table.iloc[rows], oob, self.recipe.thresholds)


def groups(members: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """Members that are trained together: those whose numbers lie in the same ``size`` numbers."""
    return [tuple(group) for _, group in groupby(sorted(members), lambda k: k // size)]


def _table(
    labelled: LabelledSet, rows: np.ndarray, said: MemberPredictions | None, lines: Sequence[str]
) -> pd.DataFrame:
    """Out-of-bag answers of one member, with the identity of each spectrum."""
    table = labelled.table.iloc[rows][["SOURCE", "TARGETID", "EXPID", "FILE", "ROW"]]
    table = table.reset_index(drop=True)
    table.insert(0, "INDEX", rows)
    empty = np.zeros(0, np.float32)
    table["DECIDING"] = said.deciding[:, 0] if said else empty
    table["Z_BEST"] = said.z_best[:, 0].astype(np.float64) if said else empty.astype(np.float64)
    for line, name in enumerate(lines):
        table[f"C_{name}"] = said.confidence[:, line, 0] if said else empty
    if said and said.bal.shape[1]:
        table["BAL"] = said.bal[:, 0, 0]
    return table


def versions() -> dict[str, str]:
    """Versions on which a member's exact weights depend."""
    return {name: importlib.metadata.version(name) for name in ("numpy", "tensorflow")}
