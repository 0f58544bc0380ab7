"""Task "one round": reveal labels, train an ensemble, and score all other spectra."""

import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from filelock import FileLock

from qnal.ensemble.description import EnsembleDescription
from qnal.ensemble.evaluation.calibration_fit import VERSION as CALIBRATION_VERSION
from qnal.ensemble.evaluation.evaluate_task import evaluate_ensemble
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.labelled_set import LabelledSet, split_quasars
from qnal.ensemble.prior import PriorKind
from qnal.ensemble.prior_knowledge import PriorKnowledge
from qnal.ensemble.recipe import MemberRecipe
from qnal.ensemble.train_task import TrainTask, train_members
from qnal.errors import InputError
from qnal.executors.local import Serial
from qnal.fingerprint import fingerprint
from qnal.inference.ensemble import read_scoring_ensemble
from qnal.inference.members import forward_passes
from qnal.inference.packing import Packing
from qnal.labels.label import BadRows
from qnal.learning.loop_set import LoopSet
from qnal.learning.oracle import Oracle
from qnal.learning.round_folder import RoundRecord, RoundStore
from qnal.spectra.rebin import Status


@dataclass(frozen=True)
class Round:
    """What a round starts from.

    Attributes:
        repeat: number of the repeat; members and inspectors' answers depend on it.
        targets: the inspected targets, numbered as in :class:`LoopSet`, in ascending order.
        prior: how mock spectra are used; None for the recipe's.
        start: fingerprint of the round whose members training continues from; None for new ones.
    """

    repeat: int
    targets: tuple[int, ...]
    prior: PriorKind | None = None
    start: str | None = None


@dataclass(frozen=True)
class RoundTask:
    """Makes rounds that are not in the store yet; can be pickled and called in a worker process.

    Attributes:
        labelled: folder of the whole labelled set, see :meth:`LabelledSet.write`.
        store: folder of the rounds.
        recipe: settings of the members; the seed of a repeat is derived from its seed.
        members: number of members.
        oracle: the inspector.
        bad: what becomes of labels of low confidence, and so of "cannot tell".
        calibrate: whether the calibration found out of bag is applied to soft probabilities.
        set_fingerprint: fingerprint of the whole labelled set.
        knowledge: what training uses beside the labels, for each prior.
        warm_start: whether rounds keep their networks, for later rounds to start from.
    """

    labelled: Path
    store: RoundStore
    recipe: MemberRecipe
    members: int
    oracle: Oracle
    bad: BadRows
    calibrate: bool
    set_fingerprint: str
    knowledge: Mapping[PriorKind, PriorKnowledge] = field(default_factory=dict)
    warm_start: bool = False

    def fingerprint(self, round_: Round) -> str:
        """Identity of a round: equal for rounds with the same members and the same labels."""
        recipe = self.member_recipe(round_)
        # The name of the round before stands for its networks, whose last bits can differ.
        initial = self.knowledge_of(round_).checksum() if round_.start is None else None
        identity = {
            "set": self.set_fingerprint,
            "recipe": recipe.fingerprint("", initial),
            "thresholds": vars(recipe.thresholds),
            "members": self.members,
            "oracle": vars(self.oracle),
            "answers": round_.repeat if self.oracle != Oracle() else None,
            "bad": self.bad,
            "calibration": CALIBRATION_VERSION if self.calibrate else None,
            "targets": round_.targets,
        }
        return fingerprint(identity | ({"start": round_.start} if round_.start else {}))

    def member_recipe(self, round_: Round) -> MemberRecipe:
        """The recipe with the seed of a round's repeat and with its prior."""
        # SeedSequence, so that repeats of neighbouring seeds have nothing in common.
        seed = int(np.random.SeedSequence([self.recipe.seed, round_.repeat]).generate_state(1)[0])
        prior = self.recipe.prior
        if round_.prior is not None:
            prior = replace(prior, kind=round_.prior)
        return replace(self.recipe, seed=seed, prior=prior)

    def knowledge_of(self, round_: Round) -> PriorKnowledge:
        """What training in a round uses beside the labels.

        With networks of a round before, training starts from them and not from those of the prior.
        """
        found = self.knowledge.get(round_.prior or self.recipe.prior.kind, PriorKnowledge())
        if round_.start is None:
            return found
        return replace(found, initial=self.store.networks(round_.start))

    def record(self, round_: Round) -> RoundRecord | None:
        """The record of a round; None if it has to be made.

        With ``warm_start``, a round that was stored without its networks is made again.
        """
        name = self.fingerprint(round_)
        keeps = self.warm_start and bool(round_.targets)
        return None if keeps and not self.store.has_networks(name) else self.store.record(name)

    def __call__(self, round_: Round) -> RoundRecord:
        """Make a round, or find it made; returns its record.

        Raises:
            InputError: no member could be trained.
        """
        name = self.fingerprint(round_)
        self.store.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.store.path / f".{name[:16]}.lock"):
            if (found := self.record(round_)) is not None:
                return found
            self.store.remove_scratch(name)
            record, scores = self._made(round_, name)
            folder = self._folder(name)
            self.store.add(record, scores, folder if self.warm_start else None)
            self.store.remove_training(name)
            return record

    def training_set(self, round_: Round) -> LabelledSet:
        """The labelled set as it is known in a round."""
        whole = _loop_set(self.labelled, self.recipe.seed)
        known = whole.training_set(round_.targets, self.oracle, round_.repeat, self.bad)
        label, z = known.column("LABEL"), known.column("Z")
        split = split_quasars(label, z, self.recipe.thresholds.high_z)
        return replace(known, table=known.table.assign(LABEL=split))

    def _folder(self, name: str) -> EnsembleFolder:
        """The ensemble of a round while the round is being made."""
        return EnsembleFolder(self.store.training_folder(name) / "ensemble")

    def _made(self, round_: Round, name: str) -> tuple[RoundRecord, pd.DataFrame]:
        start = time.monotonic()
        recipe, known = self.member_recipe(round_), self.training_set(round_)
        knowledge = self.knowledge_of(round_)
        if not len(known) and not recipe.prior.rows_per_epoch:
            raise InputError("a round has no labels: inspectors could classify none of its spectra")
        description = EnsembleDescription.of(
            recipe, known, knowledge.checksum(), knowledge.teaches_bal()
        )
        labelled, folder = self.store.training_folder(name) / "labelled", self._folder(name)
        folder.start(description, known.table)
        known.write(labelled)
        wanted, failed = set(range(self.members)), []
        if round_.start is not None:
            lost = sorted(wanted - knowledge.weight_files().keys())
            failed += [f"member {k}: it could not be trained in an earlier round" for k in lost]
            wanted -= set(lost)
        missing = sorted(wanted - {r.member for r in folder.records()})
        train_members(
            TrainTask(recipe, labelled, folder, knowledge),
            missing,
            _here,
            on_failure=lambda member, reason: failed.append(reason),
        )
        evaluate_ensemble(folder, description, known, self.members)
        trained = time.monotonic()
        scores = self._scores(folder, round_)
        records = folder.records(self.members)
        extra, size = recipe.prior.rows_per_epoch, recipe.hyperparameters.batch_size
        steps = [r.epochs * -(-(r.bag_rows + extra) // size) for r in records]
        record = RoundRecord(
            name,
            description.fingerprint,
            len(known),
            len(records),
            int(np.median(steps)),
            round(trained - start, 2),
            round(time.monotonic() - trained, 2),
            self.calibrate and folder.description().is_calibrated,
            failed,
        )
        return record, scores

    def _scores(self, folder: EnsembleFolder, round_: Round) -> pd.DataFrame:
        """Score columns of all spectra that were not inspected."""
        whole = _loop_set(self.labelled, self.recipe.seed)
        rows = np.flatnonzero(~np.isin(whole.target, round_.targets))
        ensemble = read_scoring_ensemble(folder.path, calibrate=self.calibrate)
        packing = Packing.of(ensemble.stored.networks)
        x = np.asarray(whole.labelled.x[rows], np.float32)
        packed = forward_passes(ensemble.members, x, packing, ensemble.batch_size)
        status = np.full(len(rows), Status.OK)
        table = ensemble.rule.table(
            pa.table({"INDEX": rows, "STATUS": status}),
            packing.unpack(packed),
            ensemble.lines,
            ensemble.bal_lines,
        )
        return table.to_pandas()


def _here() -> Executor:
    """A round is one unit of an executor; its members are trained where it runs."""
    return Serial()


@lru_cache(maxsize=1)
def _loop_set(folder: Path, seed: int) -> LoopSet:
    return LoopSet(LabelledSet.read(folder), seed)
