"""Score one file: read it, predict or look up, combine, find BMUs, and write the results."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from qnal.ensemble.combination import CombinationRule, is_ok
from qnal.errors import InputError
from qnal.fingerprint import fingerprint
from qnal.inference.artifacts import ONCE_PER_PROCESS, SomFiles, WeightFiles, forget_artifacts
from qnal.inference.float32_recheck import OffsetError, uncertain_votes
from qnal.inference.input_file import ChangedError, InputFile, Reading
from qnal.inference.members import Members, forward_passes, members_of
from qnal.inference.packing import PackedPredictions, Packing
from qnal.inference.prediction_cache import TARGETING
from qnal.inference.score_options import Outputs, Passes
from qnal.inference.scored_file import FileToScore, Outcome, Targets
from qnal.network.backends.forward import Backend
from qnal.scores.bmus import BMU_SCHEMA, bmu_table
from qnal.scores.file_index import IndexEntry, VoteCounts
from qnal.scores.left_out import LEFT_OUT
from qnal.spectra.file_version import Verify, stat_of
from qnal.spectra.row_condition import RowCondition
from qnal.spectra.spectra_file import SpectraFile
from qnal.threads import numpy_threads, use_threads


@dataclass(frozen=True)
class ScoreTask:
    """Scores files, in whichever process it is called; networks and SOM are read once in each.

    Attributes:
        weights: the ensemble.
        packing: of its predictions.
        reading: how files are read.
        passes: how forward passes are computed.
        rule: how the predictions are combined.
        outputs: where results go.
        condition: which rows are scored.
    """

    weights: WeightFiles
    packing: Packing
    reading: Reading
    passes: Passes
    rule: CombinationRule
    outputs: Outputs
    condition: RowCondition = field(default_factory=RowCondition, compare=False)

    def is_done(self, file: SpectraFile, scored: IndexEntry | None) -> bool:
        """Whether nothing is left to do for a file with that entry in the dataset."""
        scores, som = self.outputs.scores, self.outputs.som
        return (
            self.reading.verify is Verify.stat
            and scored is not None
            and scored.version.stat == stat_of(file)
            and (som is None or scores.has_bmus(file, som.fingerprint))
        )

    def __call__(self, known: FileToScore) -> Outcome:
        """Do what is left to do for a file.

        Raises:
            UnreadableError: the file is broken.
            InputError: a member or the SOM is broken.
        """
        with numpy_threads(self.passes.threads):
            stat = stat_of(known.file)
            if self.reading.verify is Verify.stat:
                scored = None if known.scored is None else known.scored.version
                for version in (scored, known.cached):
                    if version is not None and version.stat == stat:
                        try:
                            return self._score(known, InputFile(self.reading, known.file, version))
                        except ChangedError:
                            break
            return self._score(known, InputFile(self.reading, known.file, None, stat))

    def _score(self, known: FileToScore, source: InputFile) -> Outcome:
        """From the input file down to its part and its BMUs."""
        file, version, scores = known.file, source.version, self.outputs.scores
        entry, table, computed = known.scored, None, 0
        if entry is not None and version.same_content(entry.version):
            try:
                table = scores.read_part(file)
                if entry.version != version:
                    entry = scores.set_version(file, version)
            except InputError:  # damaged
                table = None
        if table is None or entry is None:
            scores.forget(file)
            targets = self._targets(source) if self.condition else None
            packed, computed = self._predictions(source, targets)
            targets = targets or self._targets(source)
            table, counts = self._combined(targets, packed)
            entry = scores.write(file, table, version, counts, self._metadata(targets))
        self._write_bmus(source, table)
        return Outcome(entry, source.is_read, computed)

    def _predictions(
        self, source: InputFile, targets: Targets | None
    ) -> tuple[PackedPredictions, int]:
        """Predictions of all members for the usable rows, and how many had to be computed.

        Args:
            source: the file.
            targets: its selected rows; None: all.
        """
        cache, checksums = self.outputs.predictions, self.weights.checksums
        everyone, computed = list(range(len(checksums))), 0
        if targets is not None:
            return self._predictions_of(source, targets)
        if cache is None:
            return self._computed(source, everyone), source.usable * len(everyone)
        spectra = source.version.spectra
        while True:
            missing = cache.missing(spectra, checksums)
            if missing and cache.has_parts(spectra):
                # Some rows were asked for before: what is known of them is not computed again.
                return self._predictions_of(source, self._targets(source))
            if missing:
                fresh = self._computed(source, missing)
                computed += source.usable * len(missing)
                names, table = [checksums[k] for k in missing], source.spectra.table
                som = self.outputs.som
                bmus = None if som is None else (som.fingerprint, self._found_bmus(source, som))
                targeting = source.spectra.targeting
                cache.write(
                    source.version, names, table, fresh, self.packing, bmus, targeting=targeting
                )
                if missing == everyone:
                    return fresh, computed
            stored = cache.read(spectra, checksums, self.packing)
            if stored is not None:
                return stored, computed
            # A damaged file was removed; its members are missing now.

    def _predictions_of(self, source: InputFile, targets: Targets) -> tuple[PackedPredictions, int]:
        """Predictions for the usable ones of some rows, and how many had to be computed."""
        cache, checksums = self.outputs.predictions, self.weights.checksums
        rows, computed = targets.selected & is_ok(targets.table), 0
        if cache is None:
            everyone = range(len(checksums))
            return self._computed(source, everyone, rows), int(rows.sum()) * len(everyone)
        while True:
            stored = cache.of_rows(source.version.spectra, checksums, self.packing, rows)
            if stored.known.all():
                return stored.in_order(checksums), computed
            for lacking, members in stored.missing():
                numbers = [checksums.index(member) for member in members]
                fresh = self._computed(source, numbers, lacking)
                computed += int(lacking.sum()) * len(numbers)
                table, targeting = source.spectra.table, source.spectra.targeting
                cache.write(
                    source.version, members, table, fresh, self.packing,
                    rows=lacking, targeting=targeting,
                )  # fmt: skip

    def _computed(
        self, source: InputFile, numbers: Sequence[int], rows: NDArray[np.bool_] | None = None
    ) -> PackedPredictions:
        with ONCE_PER_PROCESS:
            members = _members(self, tuple(numbers))
        x = source.x if rows is None else source.spectra.x[rows]
        fresh = forward_passes(members, x, self.packing, self.passes.batch_size)
        return PackedPredictions.side_by_side([fresh], range(len(numbers)))

    def _targets(self, source: InputFile) -> Targets:
        """The rows of a file that satisfy the condition; it is read only if need be."""
        cache, table, targeting = self.outputs.predictions, None, None
        if cache is not None and not source.is_read:
            table, targeting = cache.target_table(source.version), cache.targeting(source.version)
        if table is None:
            table, targeting = source.spectra.table, source.spectra.targeting
        if not self.condition:
            return Targets(table, np.ones(len(table), bool), targeting or TARGETING)
        if targeting is None and self.condition.uses_bits:  # stored before it was noted
            table, targeting = source.spectra.table, source.spectra.targeting
        targeting = targeting or TARGETING
        chosen = self.condition.selected(table, targeting, str(source.file.path))
        return Targets(table, chosen, targeting)

    def _combined(self, targets: Targets, packed: PackedPredictions) -> tuple[pa.Table, VoteCounts]:
        table = targets.table
        if self.condition:
            table = table.filter(pa.array(targets.selected))
        predictions = self.packing.unpack(packed)
        uncertain = 0
        if packed.margins.any():
            error = OffsetError.of(self.weights.networks()[0])
            uncertain = uncertain_votes(predictions, packed, self.rule.thresholds, error)
        counts = VoteCounts(packed.deciding.size, int(packed.rechecked.sum()), uncertain)
        lines, bal_lines = self.packing.lines, self.packing.bal_lines
        return self.rule.table(table, predictions, lines, bal_lines), counts

    def _write_bmus(self, source: InputFile, table: pa.Table) -> None:
        scores, cache, som = self.outputs.scores, self.outputs.predictions, self.outputs.som
        if som is None or scores.has_bmus(source.file, som.fingerprint):
            return
        bmus = None if cache is None else cache.bmus(source.version, som.fingerprint)
        if bmus is None:
            bmus = self._found_bmus(source, som)
            if cache is not None:
                cache.write_bmus(source.version, som.fingerprint, bmus)
        else:
            names = pa.array([source.file.name] * len(bmus), pa.string())
            bmus = bmus.add_column(0, BMU_SCHEMA.field("FILE"), names).cast(BMU_SCHEMA)
        if self.condition:  # stored are those of all rows
            bmus = bmus.filter(pc.is_in(bmus["ROW"], table["ROW"].combine_chunks()))
        scores.write_bmus(source.file, som.fingerprint, bmus)

    @staticmethod
    def _found_bmus(source: InputFile, som: SomFiles) -> pa.Table:
        if source.bmus is None:
            fitted = som.load()
            bmu, distance = fitted.find_bmu(source.x)
            outlier = fitted.outlier_score(bmu, distance)
            source.bmus = bmu_table(source.spectra.table, bmu, distance, outlier)
        return source.bmus

    def _metadata(self, targets: Targets) -> dict[str, object]:
        chosen: dict[str, object] = {}
        if self.condition:
            left_out = int(len(targets.selected) - targets.selected.sum())
            chosen = {"condition": self.condition.key(), LEFT_OUT: left_out}
        if targets.targeting != TARGETING:
            chosen["targeting"] = targets.targeting
        return (
            chosen
            | {
                "members": len(self.weights.files),
                "checksums": fingerprint({"members": self.weights.checksums})[:12],
            }
            | (self.rule.description() | self.reading.reader.metadata())
        )


@lru_cache(maxsize=2)
def _members(task: ScoreTask, numbers: tuple[int, ...]) -> Members:
    passes, networks = task.passes, task.weights.networks()
    if passes.backend is Backend.tensorflow:
        use_threads(passes.threads)
    chosen = [networks[k] for k in numbers]
    return members_of(chosen, passes.backend, passes.precision, task.rule.thresholds.min_lines)


def forget_members() -> None:
    """Release the networks and SOMs that this process has read."""
    _members.cache_clear()
    forget_artifacts()
