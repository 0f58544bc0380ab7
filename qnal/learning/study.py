"""A study: simulated loops of several strategies, each repeated with the same starts."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from qnal.ensemble.evaluation.reliability import Metrics
from qnal.ensemble.prior import PriorKind
from qnal.ensemble.votes import score_schema
from qnal.errors import ConfigError, InputError
from qnal.executors.tasks import MakeExecutor, completed
from qnal.learning.loop_set import LoopSet
from qnal.learning.plan import Plan
from qnal.learning.round_metrics import disagreement, flipped, held_out_metrics, label_counts
from qnal.learning.round_task import Round, RoundTask
from qnal.learning.som_cells import SomCells
from qnal.query.filters.live_cameras import CameraRule
from qnal.query.options import QueryOptions
from qnal.query.select import select
from qnal.query.strategies.strategy import RANDOM

# What strategies find beside the score columns.
KNOWN = ("TARGETID", "EXPID", "FILE", "ROW", RANDOM, "BMU", "BMU_DISTANCE", "prototypes of the SOM")


@dataclass
class _Loop:
    """One strategy, with one prior, in one repeat.

    Attributes:
        prior: the prior; None for the recipe's.
        name: name of the strategy and the prior in the curves.
        inspected: inspected targets in order.
        filled: number of targets of the last batch that were drawn at random.
        before: fingerprint of the round before; empty at the start.
        seconds: time that its rounds took, those shared with other strategies included.
    """

    strategy: str
    prior: PriorKind | None
    name: str
    repeat: int
    inspected: list[int]
    filled: int = 0
    before: str = ""
    seconds: float = 0.0


@dataclass
class Study:
    """A study on a labelled set.

    Attributes:
        plan: what is compared.
        task: makes the rounds.
        whole: the labelled set.
        cells: places of the spectra in a SOM, for strategies that use it.
        failed: one sentence per member that could not be trained.
    """

    plan: Plan
    task: RoundTask
    whole: LoopSet
    cells: SomCells | None = None
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        plan = self.plan
        self.held_out = self.whole.held_out(plan.test)
        wanted, there = plan.labels[-1], int((~self.held_out).sum())
        if wanted > there:
            batches = sorted({*plan.batches[:1], *plan.batches[-1:]})
            size = f" and {plan.rounds} batches of {' to '.join(map(str, batches))}"
            raise ConfigError(
                f"loop: {plan.seed_labels} seed labels{size if batches else ''} are {wanted} "
                f"targets, but only {there} are not held out; lower loop.seed_labels, loop.batch, "
                "loop.growth or loop.rounds, or give more labelled spectra."
            )
        structure = self.task.recipe.structure
        known = {*score_schema(structure.lines, structure.bal_lines).names, *KNOWN}
        for name, strategy in plan.strategies.items():
            if missing := [c for c in (*strategy.columns, *strategy.needs) if c not in known]:
                raise ConfigError(
                    f"loop.strategies: {name} needs {' and '.join(missing)}, which simulated "
                    "rounds do not have; leave it out."
                )
        self._metrics: dict[str, Metrics] = {}

    def run(
        self,
        executor: MakeExecutor,
        on_round: Callable[[str], None] = lambda what: None,
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Make the rounds that are missing, all strategies and repeats of a round at once.

        Args:
            executor: makes the executor that runs the rounds.
            on_round: called in this process with a description of each training that is finished.

        Returns:
            The curves (strategy, repeat, round, labels, then the metrics) and the inspected
            targets (strategy, repeat, round, TARGETID).

        Raises:
            InputError: a round cannot be made.
        """
        plan = self.plan
        loops = [
            _Loop(
                name,
                prior,
                plan.arm_name(name, prior),
                k,
                self.whole.seed_targets(self.held_out, plan.seed_labels, k),
            )
            for k in range(plan.repeats)
            for name, prior in plan.arms()
        ]
        rows: list[dict[str, object]] = []
        picks = [_picks(loop, 0, loop.inspected, self.whole.targetids) for loop in loops]
        for number in range(plan.rounds + 1):
            self._make({self._round(loop): loop.name for loop in loops}, number, executor, on_round)
            for loop in loops:
                rows.append(self._row(loop, number))
                if number < plan.rounds:
                    name = self.task.fingerprint(self._round(loop))
                    chosen = self._query(loop, number)
                    picks.append(_picks(loop, number + 1, chosen, self.whole.targetids))
                    loop.inspected += chosen
                    loop.before = name
        return pd.DataFrame(rows), pd.concat(picks, ignore_index=True)

    def cold_starts(
        self, executor: MakeExecutor, on_round: Callable[[str], None] = lambda what: None
    ) -> pd.DataFrame:
        """Ensembles that are trained on mock spectra alone, one per repeat of the plan.

        Args:
            executor, on_round: as for :meth:`run`.

        Returns:
            repeat, and the metrics on the held-out targets; empty unless the plan has cold starts.
        """
        if not self.plan.cold:
            return pd.DataFrame()
        starts = [Round(k, (), PriorKind.mix) for k in range(self.plan.repeats)]
        self._make(dict.fromkeys(starts, "no labels"), 1, executor, on_round)
        rows: list[dict[str, object]] = []
        for start in starts:
            truth, scores, _ = self._held_out(self.task.fingerprint(start))
            metrics = held_out_metrics(truth, scores)
            rows.append({"repeat": start.repeat, **metrics})
        return pd.DataFrame(rows)

    def _round(self, loop: _Loop) -> Round:
        """The round that the labels of a loop give."""
        start = (loop.before or None) if self.task.warm_start else None
        return Round(loop.repeat, tuple(sorted(loop.inspected)), loop.prior, start)

    def _held_out(self, name: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Truth and scores of the held-out spectra in a round, and scores of the others."""
        scores = self.task.store.scores(name)
        is_test = self.held_out[self.whole.target[scores["INDEX"]]]
        truth = self.whole.labelled.table.iloc[scores["INDEX"][is_test]].reset_index(drop=True)
        return truth, scores[is_test].reset_index(drop=True), scores[~is_test]

    def _make(
        self,
        rounds: Mapping[Round, str],
        number: int,
        executor: MakeExecutor,
        on_round: Callable[[str], None],
    ) -> None:
        """Make the rounds that are not in the store."""
        missing = []
        for round_ in rounds:
            record = self.task.record(round_)
            if record is None:
                missing.append(round_)
            else:
                self.failed += record.failed
                # Left by a job that was killed at the round's end.
                self.task.store.remove_training(record.fingerprint)
                on_round("found")
        with closing(completed(executor, self.task, missing)) as results:
            for round_, made in results:
                if isinstance(made, Exception):
                    raise made
                self.failed += made.failed
                who = "seed" if number == 0 else rounds[round_]
                on_round(f"{who}, repeat {round_.repeat}, {len(round_.targets)} labels")

    def _row(self, loop: _Loop, number: int) -> dict[str, object]:
        """The row of the curves for a round."""
        name = self.task.fingerprint(self._round(loop))
        record = self.task.store.record(name)
        assert record is not None  # noqa: S101
        if name not in self._metrics:
            truth, scores, rest = self._held_out(name)
            known = self.task.training_set(self._round(loop))
            self._metrics[name] = (
                held_out_metrics(truth, scores)
                | label_counts(known.column("LABEL"))
                | disagreement(rest)
            )
        seconds = record.training_seconds + record.scoring_seconds
        loop.seconds += seconds
        costs = {
            "spectra": record.spectra,
            "members": record.members,
            "steps": record.steps,
            "calibrated": int(record.calibrated),
            "seconds": seconds,
            "cpu_hours": loop.seconds * self.task.recipe.threads / 3600,
            "inspector_hours": len(loop.inspected) * self.plan.minutes / 60,
            "filled": loop.filled,
        }
        store, before = self.task.store, loop.before
        change: Metrics = {
            "pool_flipped": flipped(store.scores(before), store.scores(name)) if before else None
        }
        identity = {
            "strategy": loop.name,
            "repeat": loop.repeat,
            "round": number,
            "labels": len(loop.inspected),
        }
        return identity | self._metrics[name] | change | costs

    def _query(self, loop: _Loop, number: int) -> list[int]:
        """The targets of the next batch: those that the strategy selects, filled up at random."""
        seed = self.whole.random_seed("query", loop.repeat, number)
        open_targets = np.setdiff1d(np.flatnonzero(~self.held_out), loop.inspected)
        batch = self.plan.batches[number]
        chosen = self._selected(loop, open_targets, batch, seed)
        loop.filled = batch - len(chosen)
        rest = np.setdiff1d(open_targets, chosen)
        fill = np.random.default_rng(seed).permutation(rest)[: loop.filled]
        return chosen + [int(t) for t in fill]

    def _selected(
        self, loop: _Loop, open_targets: NDArray[np.intp], batch: int, seed: int
    ) -> list[int]:
        scores = self.task.store.scores(self.task.fingerprint(self._round(loop)))
        scores = scores[np.isin(self.whole.target[scores["INDEX"]], open_targets)]
        index = scores["INDEX"].to_numpy()
        table = self.whole.labelled.table.iloc[index][["TARGETID", "EXPID", "FILE", "ROW"]]
        table = pd.concat([table.reset_index(drop=True), scores.reset_index(drop=True)], axis=1)
        if self.cells is not None:
            table = table.join(self.cells.columns(index))
        options = QueryOptions(
            n=batch,
            strategy=self.plan.strategies[loop.strategy],
            seed=seed,
            som_percentile=None,
            camera=CameraRule.none,
            keep_sky=True,
        )
        try:
            selection = select(
                pa.Table.from_pandas(table, preserve_index=False),
                options,
                cells=None if self.cells is None else len(self.cells.prototypes),
                prototypes=None if self.cells is None else self.cells.prototypes,
            )
        except InputError:  # nothing is left that the strategy gains from
            return []
        return [int(t) for t in np.searchsorted(self.whole.targetids, selection.targetids)]


def _picks(
    loop: _Loop, number: int, targets: list[int], targetids: NDArray[np.int64]
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "strategy": loop.name,
            "repeat": loop.repeat,
            "round": number,
            "TARGETID": targetids[targets],
        }
    )
