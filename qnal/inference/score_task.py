"""Score one file: read it, predict or look up, combine, find BMUs, and write the results."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from hashlib import sha256 as hash_of
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qnal.ensemble.combination import CombinationRule, is_ok
from qnal.ensemble.stored import read_networks
from qnal.errors import InputError
from qnal.files import sha256
from qnal.fingerprint import fingerprint
from qnal.inference.float32_recheck import OffsetError, uncertain_votes
from qnal.inference.members import Members, forward_passes, members_of
from qnal.inference.packing import PackedPredictions, Packing
from qnal.inference.prediction_cache import PredictionCache
from qnal.network.backends.forward import Backend
from qnal.network.network import Network
from qnal.network.precision import Precision
from qnal.scores.dataset import BMU_SCHEMA, ScoresFolder, bmu_table
from qnal.scores.file_index import IndexEntry, VoteCounts
from qnal.som.som import SelfOrganizingMap
from qnal.spectra.file_version import FileVersion, Stat, Verify, stat_of
from qnal.spectra.grid import Grid
from qnal.spectra.readers.desi import Coadd, read_coadd
from qnal.spectra.spectra_file import SpectraFile
from qnal.threads import numpy_threads, use_threads

Shape = tuple[int, int]
Wrap = tuple[bool, bool]


@dataclass(frozen=True)
class WeightFiles:
    """The weight files of an ensemble; the networks are read once per process.

    Attributes:
        files: one per member, in order; ``checksums`` of them.
        lines, bal_lines: names of the heads, for files that do not name them.
    """

    files: tuple[Path, ...]
    checksums: tuple[str, ...]
    lines: tuple[str, ...]
    bal_lines: tuple[str, ...]

    def networks(self) -> tuple[Network, ...]:
        """The networks.

        Raises:
            InputError: a file is corrupt, or has changed since its checksum was computed.
        """
        with _ONCE:
            return _networks(self)


@dataclass(frozen=True)
class SomFiles:
    """Where a SOM is, and for files of SOMVIZ its shape and whether it wraps round."""

    path: Path
    fingerprint: str
    shape: Shape | None = None
    wrap: Wrap | None = None

    def load(self) -> SelfOrganizingMap:
        """The SOM, read once per process."""
        with _ONCE:
            return _som(self)


@dataclass(frozen=True)
class Reading:
    """How files of spectra are read.

    Attributes:
        grid: the grid that spectra are rebinned to.
        use_mask: whether pixels flagged by ``X_MASK`` are ignored.
        sky: whether sky fibres are scored.
        verify: how it is found out whether a file has changed.
    """

    grid: Grid
    use_mask: bool = True
    sky: bool = True
    verify: Verify = Verify.stat


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


@dataclass(frozen=True)
class FileToScore:
    """A file, and what is known of it before it is opened.

    Attributes:
        file: the file.
        scored: entry of its part in the dataset, if there is one.
        cached: the version that it had when predictions were stored, if there are any.
    """

    file: SpectraFile
    scored: IndexEntry | None = None
    cached: FileVersion | None = None


@dataclass(frozen=True)
class Outcome:
    """What scoring a file took, and what is known of it now.

    Attributes:
        entry: of its part.
        read: whether its spectra were read.
        forward_passes: computed for it, of one spectrum and member each.
    """

    entry: IndexEntry
    read: bool
    forward_passes: int


class UnreadableError(InputError):
    """A file of the pool cannot be read."""


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
    """

    weights: WeightFiles
    packing: Packing
    reading: Reading
    passes: Passes
    rule: CombinationRule
    outputs: Outputs

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
                            return self._score(known, _InputFile(self.reading, known.file, version))
                        except _ChangedError:
                            break
            return self._score(known, _InputFile(self.reading, known.file, None, stat))

    def _score(self, known: FileToScore, source: "_InputFile") -> Outcome:
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
            packed, computed = self._predictions(source)
            table, counts = self._combined(source, packed)
            entry = scores.write(file, table, version, counts, self._metadata())
        self._write_bmus(source, table)
        return Outcome(entry, source.is_read, computed)

    def _predictions(self, source: "_InputFile") -> tuple[PackedPredictions, int]:
        """Predictions of all members for the usable rows, and how many had to be computed."""
        cache, checksums = self.outputs.predictions, self.weights.checksums
        everyone, computed = list(range(len(checksums))), 0
        if cache is None:
            return self._computed(source, everyone), source.usable * len(everyone)
        spectra = source.version.spectra
        while True:
            missing = cache.missing(spectra, checksums)
            if missing:
                fresh = self._computed(source, missing)
                computed += source.usable * len(missing)
                names, table = [checksums[k] for k in missing], source.coadd.table
                som = self.outputs.som
                bmus = None if som is None else (som.fingerprint, self._found_bmus(source, som))
                cache.write(source.version, names, table, fresh, self.packing, bmus)
                if missing == everyone:
                    return fresh, computed
            stored = cache.read(spectra, checksums, self.packing)
            if stored is not None:
                return stored, computed
            # A damaged file was removed; its members are missing now.

    def _computed(self, source: "_InputFile", numbers: Sequence[int]) -> PackedPredictions:
        with _ONCE:
            members = _members(self, tuple(numbers))
        fresh = forward_passes(members, source.x, self.packing, self.passes.batch_size)
        return PackedPredictions.side_by_side([fresh], range(len(numbers)))

    def _combined(
        self, source: "_InputFile", packed: PackedPredictions
    ) -> tuple[pa.Table, VoteCounts]:
        cache, table = self.outputs.predictions, None
        if cache is not None and not source.is_read:
            table = cache.target_table(source.version)
        if table is None:
            table = source.coadd.table
        predictions = self.packing.unpack(packed)
        uncertain = 0
        if packed.margins.any():
            error = OffsetError.of(self.weights.networks()[0])
            uncertain = uncertain_votes(predictions, packed, self.rule.thresholds, error)
        counts = VoteCounts(packed.deciding.size, int(packed.rechecked.sum()), uncertain)
        lines, bal_lines = self.packing.lines, self.packing.bal_lines
        return self.rule.table(table, predictions, lines, bal_lines), counts

    def _write_bmus(self, source: "_InputFile", table: pa.Table) -> None:
        scores, cache, som = self.outputs.scores, self.outputs.predictions, self.outputs.som
        if som is None or scores.has_bmus(source.file, som.fingerprint):
            return
        bmus = None if cache is None else cache.bmus(source.version, som.fingerprint)
        if bmus is None:
            bmus = self._found_bmus(source, som)
            if cache is not None:
                cache.write_bmus(source.version, som.fingerprint, bmus)
        else:
            bmus = bmus.add_column(0, BMU_SCHEMA.field("FILE"), table["FILE"]).cast(BMU_SCHEMA)
        scores.write_bmus(source.file, som.fingerprint, bmus)

    @staticmethod
    def _found_bmus(source: "_InputFile", som: SomFiles) -> pa.Table:
        if source.bmus is None:
            fitted = som.load()
            bmu, distance = fitted.find_bmu(source.x)
            outlier = fitted.outlier_score(bmu, distance)
            source.bmus = bmu_table(source.coadd.table, bmu, distance, outlier)
        return source.bmus

    def _metadata(self) -> dict[str, object]:
        return {
            "members": len(self.weights.files),
            "checksums": fingerprint({"members": self.weights.checksums})[:12],
        } | self.rule.description()


class _ChangedError(Exception):
    """The content of a file is not what its size and time promised."""


class _InputFile:
    """A file of the pool, whose spectra are read when they are asked for.

    Args:
        reading: how it is read.
        file: the file.
        believed: its version as far as size and time tell; None: it is read to find out.
        stat: its size and time before it is read.
    """

    def __init__(
        self,
        reading: Reading,
        file: SpectraFile,
        believed: FileVersion | None,
        stat: Stat | None = None,
    ) -> None:
        self.reading, self.file, self.believed, self.stat = reading, file, believed, stat
        self.bmus: pa.Table | None = None

    @property
    def is_read(self) -> bool:
        return "coadd" in vars(self)

    @cached_property
    def version(self) -> FileVersion:
        if self.believed is not None:
            return self.believed
        coadd = self.coadd
        return FileVersion.of(self.stat or (0, 0), coadd)

    @property
    def usable(self) -> int:
        """Number of rows whose STATUS is ok."""
        return int(is_ok(self.coadd.table).sum())

    @property
    def x(self) -> np.ndarray:
        """Renormalised spectra of the usable rows, shape [rows, npix]."""
        return self.coadd.x[is_ok(self.coadd.table)]

    @cached_property
    def coadd(self) -> Coadd:
        try:
            coadd = read_coadd(self.file, self.reading.grid, self.reading.use_mask)
        except InputError as error:
            raise UnreadableError(str(error)) from error
        if not self.reading.sky:
            coadd = _without_sky(coadd)
        believed = self.believed
        if believed is not None and FileVersion.of(believed.stat, coadd) != believed:
            raise _ChangedError
        return coadd


def _without_sky(coadd: Coadd) -> Coadd:
    sky = pc.or_(
        pc.fill_null(pc.equal(coadd.table["OBJTYPE"], "SKY"), False),
        pc.less(coadd.table["TARGETID"], 0),
    )
    keep = ~np.asarray(sky)
    digest = hash_of(coadd.digest.encode() + keep.tobytes()).hexdigest()
    return replace(coadd, x=coadd.x[keep], table=coadd.table.filter(pa.array(keep)), digest=digest)


# Threads of one process must not read the same networks at the same time.
_ONCE = threading.RLock()


@lru_cache(maxsize=1)
def _networks(weights: WeightFiles) -> tuple[Network, ...]:
    networks = read_networks(weights.files, weights.lines, weights.bal_lines)
    for file, checksum in zip(weights.files, weights.checksums, strict=True):
        if sha256(file) != checksum:
            raise InputError(f"{file}: it was changed while the job was running.")
    return networks


@lru_cache(maxsize=2)
def _members(task: ScoreTask, numbers: tuple[int, ...]) -> Members:
    passes, networks = task.passes, task.weights.networks()
    if passes.backend is Backend.tensorflow:
        use_threads(passes.threads)
    chosen = [networks[k] for k in numbers]
    return members_of(chosen, passes.backend, passes.precision, task.rule.thresholds.min_lines)


@lru_cache(maxsize=1)
def _som(files: SomFiles) -> SelfOrganizingMap:
    return SelfOrganizingMap.load(files.path, files.shape, files.wrap)


def forget_members() -> None:
    """Release the networks and SOMs that this process has read."""
    for cache in (_networks, _members, _som):
        cache.cache_clear()
