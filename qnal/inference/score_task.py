"""Scoring one file: the unit of work of the infer stage."""

import threading
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qnal.ensemble.combination import CombinationRule, is_ok
from qnal.ensemble.stored import read_networks
from qnal.errors import InputError
from qnal.files import remove_scratch, sha256
from qnal.fingerprint import fingerprint
from qnal.inference.float32_recheck import uncertain_votes
from qnal.inference.members import Members as ReadyMembers
from qnal.inference.members import forward_passes, members_of
from qnal.inference.packing import PackedPredictions, Packing
from qnal.inference.prediction_cache import PredictionCache
from qnal.network.backends.forward import Backend
from qnal.network.network import Network
from qnal.network.precision import Precision
from qnal.scores.dataset import FORMAT_VERSION, ScoresFolder
from qnal.scores.qso_qn import write_qso_qn
from qnal.som.som import SelfOrganizingMap
from qnal.spectra.file_version import FileVersion, Stat, Verify, stat_of
from qnal.spectra.readers.desi import Coadd, read_coadd
from qnal.spectra.spectra_file import SpectraFile
from qnal.threads import numpy_threads, use_threads

Shape = tuple[int, int]
Wrap = tuple[bool, bool]


@dataclass(frozen=True)
class Members:
    """Where the members of an ensemble are, and what they must hold."""

    files: tuple[Path, ...]
    checksums: tuple[str, ...]
    lines: tuple[str, ...]
    bal_lines: tuple[str, ...]

    def networks(self) -> tuple[Network, ...]:
        """The networks, read once a process.

        Raises:
            InputError: a file is corrupt, or no longer the one that was found.
        """
        with _ONCE:
            return _networks(self)


@dataclass(frozen=True)
class SomFiles:
    """Where a map is, and for SOMVIZ's files its shape and whether it wraps round."""

    path: Path
    fingerprint: str
    shape: Shape | None
    wrap: Wrap | None

    def map(self) -> SelfOrganizingMap:
        """The map, read once a process."""
        with _ONCE:
            return _map(self)


@dataclass(frozen=True)
class Outcome:
    """What scoring a file took.

    Attributes:
        read: whether its spectra were read.
        computed: forward passes, spectra times members.
    """

    read: bool
    computed: int


@dataclass(frozen=True)
class ScoreTask:
    """Scores files, wherever it is called; what takes long to make is made once a process.

    Attributes:
        members: the ensemble.
        coding: how its answers are coded.
        judgement: what makes scores of them.
        backend, precision, batch_size: what computes forward passes, in which numbers, and of how
            many spectra at a time.
        threads: with how many a process computes.
        use_mask: ignore pixels that ``X_MASK`` flags.
        sky: score sky fibres.
        verify: how it is told whether a file has changed.
        scores: the dataset.
        answers: where members' answers are kept; None: they are not.
        som: the map to find best cells on; None: they stay unknown.
        qso_qn: write QN_RR tables.
    """

    members: Members
    packing: Packing
    rule: CombinationRule
    backend: Backend
    precision: Precision
    batch_size: int
    threads: int
    use_mask: bool
    sky: bool
    verify: Verify
    scores: ScoresFolder
    predictions: PredictionCache | None
    som: SomFiles | None
    qso_qn: bool

    def is_done(self, file: SpectraFile) -> bool:
        """Whether nothing is left to do for a file; it takes a tenth of a millisecond."""
        return (
            self.verify is Verify.stat
            and self.scores.is_scored(file, stat_of(file))
            and (self.som is None or self.scores.has_bmus(file, self.som.fingerprint))
            and (not self.qso_qn or self.scores.has_qso_qn(file))
        )

    def forget(self, file: SpectraFile) -> None:
        """Remove what is known of a file that cannot be read any more."""
        self.scores.forget(file)
        if self.predictions is not None:
            self.predictions.forget(file)

    def remove_scratch(self) -> None:
        """Remove what workers that died left half-written."""
        for folder in (self.scores, self.predictions):
            if folder is not None:
                remove_scratch(folder.path)

    def __call__(self, file: SpectraFile) -> Outcome:
        """Do what is left to do for a file.

        Raises:
            InputError: the file is broken, or a member is.
        """
        with numpy_threads(self.threads):
            return self._scored(file)

    def _scored(self, file: SpectraFile) -> Outcome:
        stat = stat_of(file)
        if self.verify is Verify.stat:
            for version in (self.scores.version(file), self._kept(file)):
                if version is not None and version.stat == stat:
                    try:
                        return self._score(_InputFile(self, file, stat, version))
                    except _ChangedError:
                        break
        return self._score(_InputFile(self, file, stat))

    def _kept(self, file: SpectraFile) -> FileVersion | None:
        return None if self.predictions is None else self.predictions.version(file)

    def _score(self, source: "_InputFile") -> Outcome:
        file, version, scores = source.file, source.version, self.scores
        computed, table = 0, None
        if self.predictions is not None:
            kept = self._kept(file)
            if kept is not None and kept.spectra != version.spectra:
                self.predictions.forget(file)
            if kept != version and source.is_read:
                self.predictions.write_target_table(file, version, source.coadd.table)
        scored = scores.version(file)
        wants_bmus = self.som and not scores.has_bmus(file, self.som.fingerprint)
        wants_qn = self.qso_qn and not scores.has_qso_qn(file)
        if version.same_content(scored) and (wants_bmus or wants_qn):
            try:
                table = scores.read_part(file)
            except InputError:  # a damaged part is made again
                scored = None
        if not version.same_content(scored):
            scores.forget(file)
            packed, computed = self._predictions(source)
            predictions, packing = self.packing.unpack(packed), self.packing
            table = self.rule.table(
                self._identity(source), predictions, packing.lines, packing.bal_lines
            )
            votes = {
                "votes": packed.deciding.size,
                "rechecked": int(packed.rechecked.sum()),
                "uncertain": uncertain_votes(
                    predictions,
                    packed.rechecked,
                    packed.margins,
                    self.rule.thresholds,
                    self.members.networks()[0],
                ),
            }
            scores.write(file, table, version, self._metadata() | votes)
        elif scored != version:
            scores.note_version(file, version)
        if self.som and table and not scores.has_bmus(file, self.som.fingerprint):
            self._find_bmus(source, table, self.som)
        if self.qso_qn and table and not scores.has_qso_qn(file):
            thresholds, members = self.rule.thresholds, len(self.members.files)
            write_qso_qn(scores.qso_qn(file), table, self.packing.lines, thresholds, members)
        return Outcome(source.is_read, computed)

    def _identity(self, source: "_InputFile") -> pa.Table:
        if self.predictions is not None and not source.is_read:
            target_table = self.predictions.target_table(source.file, source.version)
            if target_table is not None:
                return target_table
        return source.coadd.table

    def _predictions(self, source: "_InputFile") -> tuple[PackedPredictions, int]:
        """Answers of all members to the usable spectra, and how many had to be computed."""
        everyone = list(range(len(self.members.files)))
        if self.predictions is None:
            return self._compute(source, everyone)
        computed = 0
        checksums = self.members.checksums
        while True:
            missing = self.predictions.missing(source.file, source.version, checksums)
            if missing:
                fresh, passes = self._compute(source, missing)
                computed += passes
                rows = source.coadd.table["ROW"].to_numpy()[is_ok(source.coadd.table)]
                self.predictions.write(
                    source.file,
                    source.version,
                    [checksums[k] for k in missing],
                    rows,
                    fresh,
                    self.packing,
                )
                if missing == everyone:
                    return fresh, computed
            kept = self.predictions.read(source.file, source.version, checksums, self.packing)
            if kept is not None:
                return kept, computed
            # A damaged group was found and removed: its members are missing now.

    def _compute(self, source: "_InputFile", numbers: list[int]) -> tuple[PackedPredictions, int]:
        x = source.coadd.x[is_ok(source.coadd.table)]
        with _ONCE:
            members = _ready(self, tuple(numbers))
        fresh = forward_passes(members, x, self.batch_size)
        return PackedPredictions.side_by_side([fresh], range(len(numbers))), len(x) * len(numbers)

    def _find_bmus(self, source: "_InputFile", table: pa.Table, som: SomFiles) -> None:
        file, scores = source.file, self.scores
        kept = self.predictions and self.predictions.bmus(file, som.fingerprint, source.version)
        if kept:
            scores.copy_bmus(file, table, som.fingerprint, kept)
            return
        fitted = som.map()
        bmu, distance = fitted.find_bmu(source.coadd.x[is_ok(source.coadd.table)])
        outlier = fitted.outlier_score(bmu, distance)
        scores.write_bmus(file, table, som.fingerprint, bmu, distance, outlier)
        if self.predictions is not None:
            found = scores.read_bmus(file, som.fingerprint)
            self.predictions.write_bmus(file, som.fingerprint, source.version, found)

    def _metadata(self) -> dict[str, object]:
        calibration = self.rule.calibration
        return {
            "format_version": FORMAT_VERSION,
            "members": len(self.members.files),
            "checksums": fingerprint({"members": self.members.checksums})[:12],
            **vars(self.rule.thresholds),
            "calibration": calibration and calibration.parameters(),
        }


class UnreadableError(InputError):
    """A file of the pool cannot be read."""


class _ChangedError(Exception):
    """A file does not hold what its size and time made one believe."""


class _InputFile:
    """A file whose spectra are read when they are asked for."""

    def __init__(
        self,
        work: ScoreTask,
        file: SpectraFile,
        stat: Stat | None,
        believed: FileVersion | None = None,
    ) -> None:
        self.work, self.file, self.stat, self.believed = work, file, stat, believed

    @property
    def is_read(self) -> bool:
        return "coadd" in vars(self)

    @cached_property
    def version(self) -> FileVersion:
        if self.believed is not None:
            return self.believed
        coadd = self.coadd
        return FileVersion.of(self.stat or (0, 0), coadd)

    @cached_property
    def coadd(self) -> Coadd:
        grid = self.work.members.networks()[0].grid
        try:
            coadd = read_coadd(self.file, grid, self.work.use_mask)
        except InputError as error:
            raise UnreadableError(str(error)) from error
        if not self.work.sky:
            coadd = _without_sky(coadd)
        if self.believed is not None:
            read = FileVersion.of(self.believed.stat, coadd)
            if read != self.believed:
                raise _ChangedError
        return coadd


def _without_sky(coadd: Coadd) -> Coadd:
    sky = pc.or_(
        pc.fill_null(pc.equal(coadd.table["OBJTYPE"], "SKY"), False),
        pc.less(coadd.table["TARGETID"], 0),
    )
    keep = ~np.asarray(sky)
    return Coadd(coadd.x[keep], coadd.table.filter(pa.array(keep)), coadd.digest)


# Threads of one process must not read the same networks at the same time.
_ONCE = threading.RLock()


@lru_cache(maxsize=1)
def _networks(members: Members) -> tuple[Network, ...]:
    networks = read_networks(members.files, members.lines, members.bal_lines)
    for file, checksum in zip(members.files, members.checksums, strict=True):
        if sha256(file) != checksum:
            raise InputError(f"{file}: it was changed while the job was running.")
    return networks


@lru_cache(maxsize=2)
def _ready(work: ScoreTask, numbers: tuple[int, ...]) -> ReadyMembers:
    if work.backend is Backend.tensorflow:
        use_threads(work.threads, "infer.threads")
    networks = work.members.networks()
    return members_of(
        [networks[k] for k in numbers],
        work.backend,
        work.precision,
        work.rule.thresholds.min_lines,
    )


@lru_cache(maxsize=1)
def _map(files: SomFiles) -> SelfOrganizingMap:
    return SelfOrganizingMap.load(files.path, files.shape, files.wrap)


def forget_members() -> None:
    """Let go of networks and maps that this process holds."""
    for cache in (_networks, _ready, _map):
        cache.cache_clear()
