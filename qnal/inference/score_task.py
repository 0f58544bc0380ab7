"""Scoring one file: the unit of work of the infer stage."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qnal.ensemble.stored import StoredEnsemble, read_networks
from qnal.errors import InputError
from qnal.files import remove_scratch, sha256
from qnal.fingerprint import fingerprint
from qnal.inference.packing import CodedAnswers, Coding
from qnal.inference.prediction_cache import AnswersFolder
from qnal.inference.scorer import Judgement, Scorer, is_ok
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

    def only(self, numbers: Sequence[int]) -> StoredEnsemble:
        """Some of the members."""
        networks = self.networks()
        return StoredEnsemble(
            tuple(networks[k] for k in numbers), tuple(self.checksums[k] for k in numbers), {}
        )


@dataclass(frozen=True)
class MapFiles:
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
class Scoring:
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
    coding: Coding
    judgement: Judgement
    backend: Backend
    precision: Precision
    batch_size: int
    threads: int
    use_mask: bool
    sky: bool
    verify: Verify
    scores: ScoresFolder
    answers: AnswersFolder | None
    som: MapFiles | None
    qso_qn: bool

    def is_done(self, file: SpectraFile) -> bool:
        """Whether nothing is left to do for a file; it takes a tenth of a millisecond."""
        return (
            self.verify is Verify.stat
            and self.scores.is_scored(file, stat_of(file))
            and (self.som is None or self.scores.has_best_cells(file, self.som.fingerprint))
            and (not self.qso_qn or self.scores.has_qso_qn(file))
        )

    def forget(self, file: SpectraFile) -> None:
        """Remove what is known of a file that cannot be read any more."""
        self.scores.forget(file)
        if self.answers is not None:
            self.answers.forget(file)

    def remove_scratch(self) -> None:
        """Remove what workers that died left half-written."""
        for folder in (self.scores, self.answers):
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
                        return self._score(_Source(self, file, stat, version))
                    except _ChangedError:
                        break
        return self._score(_Source(self, file, stat))

    def _kept(self, file: SpectraFile) -> FileVersion | None:
        return None if self.answers is None else self.answers.version(file)

    def _score(self, source: "_Source") -> Outcome:
        file, version, scores = source.file, source.version, self.scores
        computed, table = 0, None
        if self.answers is not None:
            kept = self._kept(file)
            if kept is not None and kept.spectra != version.spectra:
                self.answers.forget(file)
            if kept != version and source.is_read:
                self.answers.write_identity(file, version, source.coadd.table)
        scored = scores.version(file)
        wants_cells = self.som and not scores.has_best_cells(file, self.som.fingerprint)
        wants_qn = self.qso_qn and not scores.has_qso_qn(file)
        if version.holds_what(scored) and (wants_cells or wants_qn):
            try:
                table = scores.read_part(file)
            except InputError:  # a damaged part is made again
                scored = None
        if not version.holds_what(scored):
            scores.forget(file)
            coded, computed = self._answers(source)
            table = self.judgement.table(self._identity(source), coded, self.coding)
            scores.write(file, table, version, self._metadata())
        elif scored != version:
            scores.note_version(file, version)
        if self.som and table and not scores.has_best_cells(file, self.som.fingerprint):
            self._find_best_cells(source, table, self.som)
        if self.qso_qn and table and not scores.has_qso_qn(file):
            thresholds, members = self.judgement.thresholds, len(self.members.files)
            write_qso_qn(scores.qso_qn(file), table, self.coding.lines, thresholds, members)
        return Outcome(source.is_read, computed)

    def _identity(self, source: "_Source") -> pa.Table:
        if self.answers is not None and not source.is_read:
            identity = self.answers.identity(source.file, source.version)
            if identity is not None:
                return identity
        return source.coadd.table

    def _answers(self, source: "_Source") -> tuple[CodedAnswers, int]:
        """Answers of all members to the usable spectra, and how many had to be computed."""
        everyone = list(range(len(self.members.files)))
        if self.answers is None:
            return self._compute(source, everyone)
        computed = 0
        checksums = self.members.checksums
        while True:
            missing = self.answers.missing(source.file, source.version, checksums)
            if missing:
                fresh, passes = self._compute(source, missing)
                computed += passes
                rows = source.coadd.table["ROW"].to_numpy()[is_ok(source.coadd.table)]
                self.answers.write(
                    source.file,
                    source.version,
                    [checksums[k] for k in missing],
                    rows,
                    fresh,
                    self.coding,
                )
                if missing == everyone:
                    return fresh, computed
            kept = self.answers.read(source.file, source.version, checksums, self.coding)
            if kept is not None:
                return kept, computed
            # A damaged group was found and removed: its members are missing now.

    def _compute(self, source: "_Source", numbers: list[int]) -> tuple[CodedAnswers, int]:
        x = source.coadd.x[is_ok(source.coadd.table)]
        with _ONCE:
            scorer = _scorer(self, tuple(numbers))
        fresh = scorer.coded(x, self.coding)
        return CodedAnswers.side_by_side([fresh], range(len(numbers))), len(x) * len(numbers)

    def _find_best_cells(self, source: "_Source", table: pa.Table, som: MapFiles) -> None:
        file, scores = source.file, self.scores
        kept = self.answers and self.answers.best_cells(file, som.fingerprint, source.version)
        if kept:
            scores.keep_best_cells(file, table, som.fingerprint, kept)
            return
        fitted = som.map()
        bmu, distance = fitted.find_bmu(source.coadd.x[is_ok(source.coadd.table)])
        outlier = fitted.outlier_score(bmu, distance)
        scores.write_best_cells(file, table, som.fingerprint, bmu, distance, outlier)
        if self.answers is not None:
            found = scores.read_best_cells(file, som.fingerprint)
            self.answers.write_best_cells(file, som.fingerprint, source.version, found)

    def _metadata(self) -> dict[str, object]:
        calibration = self.judgement.calibration
        return {
            "format_version": FORMAT_VERSION,
            "members": len(self.members.files),
            "checksums": fingerprint({"members": self.members.checksums})[:12],
            **vars(self.judgement.thresholds),
            "calibration": calibration and calibration.parameters(),
        }


class UnreadableError(InputError):
    """A file of the pool cannot be read."""


class _ChangedError(Exception):
    """A file does not hold what its size and time made one believe."""


class _Source:
    """A file whose spectra are read when they are asked for."""

    def __init__(
        self,
        work: Scoring,
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
def _scorer(work: Scoring, numbers: tuple[int, ...]) -> Scorer:
    if work.backend is Backend.tensorflow:
        use_threads(work.threads, "infer.threads")
    return Scorer.of(
        work.members.only(numbers),
        work.judgement.thresholds,
        work.backend,
        work.batch_size,
        work.precision,
    )


@lru_cache(maxsize=1)
def _map(files: MapFiles) -> SelfOrganizingMap:
    return SelfOrganizingMap.load(files.path, files.shape, files.wrap)


def forget_members() -> None:
    """Let go of networks and maps that this process holds."""
    for cache in (_networks, _scorer, _map):
        cache.cache_clear()
