"""Training of members: bootstrap sample, fit, out-of-bag predictions, and storing the result."""

import importlib.metadata
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import groupby

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from qnal.ensemble.augmentation import with_versions
from qnal.ensemble.bootstrap import draw_bag, out_of_bag, streams
from qnal.ensemble.evaluation.metrics import member_metrics
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.labelled_set import LabelledSet, split_quasars
from qnal.ensemble.member_record import MemberRecord
from qnal.ensemble.prior_knowledge import PriorKnowledge
from qnal.ensemble.prior_spectra import with_prior
from qnal.ensemble.recipe import MemberRecipe
from qnal.ensemble.votes import MemberPredictions, gather
from qnal.lines import column_names
from qnal.network.backends.forward import Backend, forward, member_lines
from qnal.network.fit_state import InitialState, Versions
from qnal.network.network import Network
from qnal.network.targets import targets
from qnal.network.training import Trainer
from qnal.threads import use_threads

ATTEMPTS = 2


class DivergedError(Exception):
    """No attempt to train a member gave a finite loss."""


Outcomes = dict[int, MemberRecord | DivergedError]


class MemberTrainer:
    """Trains members of one ensemble in this process and stores them in its folder.

    Args:
        recipe: settings of the members.
        labelled: the labelled set.
        folder: the ensemble.
        knowledge: what training uses beside the labelled set.
    """

    def __init__(
        self,
        recipe: MemberRecipe,
        labelled: LabelledSet,
        folder: EnsembleFolder,
        knowledge: PriorKnowledge | None = None,
    ) -> None:
        use_threads(recipe.threads)
        self.recipe = recipe
        self.labelled = labelled
        self.folder = folder
        structure = recipe.structure
        self.knowledge = knowledge or PriorKnowledge()
        prior = self.knowledge.read_spectra()
        every = labelled if prior is None else with_prior(labelled, prior)
        self.prior_rows = np.arange(len(labelled), len(every))
        self.versions = Versions(recipe.augment.number, len(every))
        every = with_versions(every, len(labelled), recipe.augment, structure.grid, recipe.seed)
        self.trainer = Trainer(
            structure.initial(np.random.default_rng(0)),
            recipe.hyperparameters,
            every.x,
            targets(
                every.column("LABEL"),
                every.column("Z"),
                every.column("BAL"),
                lines=structure.lines,
                bal_lines=structure.bal_lines,
                boxes=structure.boxes,
                grid=structure.grid,
            ),
            recipe.group,
        )

    def train(self, members: Sequence[int]) -> Outcomes:
        """Train members together, except those that are in the folder already.

        A member is claimed by a lock file, so that two processes never train the same one.

        Args:
            members: their numbers, from one of the :func:`groups`.

        Returns:
            Per member, its record, or the error if no attempt gave a finite loss.
        """
        with ExitStack() as locks:
            for member in sorted(members):  # in ascending order, to rule out a deadlock
                lock = self.folder.lock(member)
                lock.parent.mkdir(parents=True, exist_ok=True)
                locks.enter_context(FileLock(lock))
            found = {k: self.folder.record(k) for k in members}
            outcomes: Outcomes = {k: record for k, record in found.items() if record is not None}
            for attempt in range(ATTEMPTS):
                missing = [k for k in members if k not in outcomes]
                if missing:
                    outcomes |= self._attempt(missing, attempt)
        for k in members:
            if k not in outcomes:
                outcomes[k] = DivergedError(
                    f"member {k} has no finite loss in {ATTEMPTS} attempts; a lower "
                    "train.learning_rate may help"
                )
        return {k: outcomes[k] for k in members}

    def _attempt(self, members: list[int], attempt: int) -> dict[int, MemberRecord]:
        """Fit and store members; returns the records of those that did not diverge."""
        recipe, targetid = self.recipe, self.labelled.column("TARGETID")
        # The last bits of a member's weights can depend on its slot, so the slot follows from the
        # member's number.
        member_in = {k % recipe.group: k for k in members}
        if len(member_in) < len(members):
            raise ValueError(f"members {members} do not belong to one group of {recipe.group}.")
        initial: dict[int, InitialState] = {}
        for slot, k in member_in.items():
            random = streams(recipe.seed, k, attempt)
            bag = draw_bag(targetid, recipe.bootstrap, random.bag)
            network = recipe.structure.initial(random.weights)
            network = self.knowledge.network(k, network) or network
            extra = recipe.prior.rows_per_epoch
            initial[slot] = InitialState(
                network, bag, random.fit, self.prior_rows, extra, self.versions
            )
        fits = self.trainer.fit_group(initial)
        return {
            member_in[slot]: self._store(
                member_in[slot], attempt, initial[slot].rows, network, losses
            )
            for slot, (network, losses) in fits.items()
            if np.isfinite(losses[-1]) and network.is_finite()
        }

    def _store(
        self,
        member: int,
        attempt: int,
        bag: NDArray[np.integer],
        network: Network,
        losses: list[float],
    ) -> MemberRecord:
        """Evaluate a fitted member out of bag and add it to the folder."""
        recipe, labelled = self.recipe, self.labelled
        rows = out_of_bag(labelled.column("TARGETID"), bag)
        predictions = None
        if len(rows):
            x = np.ascontiguousarray(labelled.x[rows], np.float32)
            function = forward(network, Backend.tensorflow)
            predictions = gather([member_lines(network, function, x)], recipe.thresholds)
        oob = _table(labelled, rows, predictions, column_names(network.lines))
        labels = labelled.table.iloc[rows]
        high_z = recipe.thresholds.high_z
        split = split_quasars(labels["LABEL"].to_numpy(), labels["Z"].to_numpy(), high_z)
        record = MemberRecord(
            member=member,
            seed=[recipe.seed, member],
            attempt=attempt,
            threads=recipe.threads,
            group=recipe.group,
            versions=versions(),
            epochs=len(losses),
            bag_rows=len(bag),
            oob_rows=len(rows),
            loss=losses,
            oob=member_metrics(labels.assign(LABEL=split), oob, recipe.thresholds),
        )
        return self.folder.add(network, oob, record)


def groups(members: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """Groups of members to train together: members k with the same k // ``size``."""
    return [tuple(group) for _, group in groupby(sorted(members), lambda k: k // size)]


def _table(
    labelled: LabelledSet,
    rows: NDArray[np.integer],
    predictions: MemberPredictions | None,
    lines: Sequence[str],
) -> pd.DataFrame:
    """Out-of-bag predictions of one member, with the identity of each spectrum."""
    table = labelled.table.iloc[rows][["SOURCE", "TARGETID", "EXPID", "FILE", "ROW"]]
    table = table.reset_index(drop=True)
    table.insert(0, "INDEX", rows)
    empty = np.zeros(0, np.float32)
    p = predictions
    table["DECIDING"] = p.deciding[:, 0] if p else empty
    table["Z_BEST"] = p.z_best[:, 0].astype(np.float64) if p else empty.astype(np.float64)
    for line, name in enumerate(lines):
        table[f"C_{name}"] = p.confidence[:, line, 0] if p else empty
    if p and p.bal.shape[1]:
        table["BAL"] = p.bal[:, 0, 0]
    return table


def versions() -> dict[str, str]:
    """Versions of the packages on which a member's exact weights depend."""
    return {name: importlib.metadata.version(name) for name in ("numpy", "tensorflow")}
