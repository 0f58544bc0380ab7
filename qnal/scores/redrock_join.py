"""Join Redrock's results to the parts of a scores dataset, and keep them joined.

This is done in the job's own process after the files are scored, and needs no forward pass and no
spectra. If any file of the pool has results of Redrock, all parts have the columns
(:data:`~qnal.scores.redrock_columns.REDROCK_COLUMNS`), null where there is no answer; otherwise no
part has them. ``_redrock.parquet`` says which version of Redrock's files each part was joined with.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from qnal.errors import InputError
from qnal.files import written_aside
from qnal.scores.dataset import METADATA, ScoresFolder
from qnal.scores.file_index import IndexEntry
from qnal.scores.redrock_columns import columns_digest, with_redrock, without_redrock
from qnal.spectra.file_version import Stat
from qnal.spectra.redrock import RedrockFiles, RedrockFinder, forget_listings, read_redrock
from qnal.spectra.spectra_file import SpectraFile

INDEX = "_redrock.parquet"
SCHEMA = pa.schema(
    [
        ("FILE", pa.string()),
        ("REDROCK", pa.string()),
        ("ROWS", pa.int64()),
        ("ANSWERED", pa.int64()),
        ("REFUSED", pa.string()),
        ("PART_SIZE", pa.int64()),
        ("PART_MTIME_NS", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Joined:
    """What is known of one part.

    Attributes:
        redrock: version of the files that it was joined with; empty: there are none.
        rows: of the part.
        answered: rows with an answer of Redrock.
        refused: why the files could not be joined, if so.
        part: size and modification time of the part.
    """

    redrock: str
    rows: int
    answered: int
    refused: str | None
    part: Stat


@dataclass
class JoinOutcome:
    """What was joined.

    Attributes:
        entries: of all parts, by the name of the file, as they are now.
        joined: of all parts; empty where no file has results of Redrock.
        files: Redrock's files of each coadd, by the name of the coadd.
    """

    entries: dict[str, IndexEntry]
    joined: dict[str, Joined] = field(default_factory=dict)
    files: dict[str, RedrockFiles] = field(default_factory=dict)

    def metrics(self) -> dict[str, int]:
        """Counts that add up to the numbers of files and of spectra; none without Redrock."""
        if not self.joined:
            return {}
        every = self.joined.values()
        refused = sum(j.refused is not None for j in every)
        missing = sum(not j.redrock and j.refused is None for j in every)
        answered = sum(j.answered for j in every)
        return {
            "redrock_files": len(every) - refused - missing,
            "redrock_missing": missing,
            "redrock_refused": refused,
            "redrock_answered": answered,
            "redrock_unanswered": sum(j.rows for j in every) - answered,
        }

    def notes(self) -> list[str]:
        """A sentence per kind of problem."""
        if not self.joined:
            return []
        missing = sorted(n for n, j in self.joined.items() if not j.redrock and not j.refused)
        refused = sorted((n, j.refused) for n, j in self.joined.items() if j.refused)
        partly = {
            n: j.rows - j.answered
            for n, j in sorted(self.joined.items())
            if j.redrock and not j.refused and j.answered < j.rows
        }
        notes = []
        if missing:
            notes.append(
                f"{len(missing):,} of {len(self.joined):,} files have no results of Redrock "
                f"({_some(missing)}); their columns of Redrock are null."
            )
        if refused:
            sentences = "; ".join(str(why).rstrip(".") for _, why in refused[:3])
            more = "" if len(refused) <= 3 else f"; and {len(refused) - 3:,} more"
            notes.append(
                f"Redrock's results of {len(refused):,} files were not used: {sentences}{more}."
            )
        if partly:
            notes.append(
                f"{sum(partly.values()):,} spectra of {len(partly):,} files have no row in "
                f"Redrock's results ({_some(list(partly))}), which may be from another reduction."
            )
        return notes


def join_redrock(
    scores: ScoresFolder,
    files: Sequence[SpectraFile],
    entries: Mapping[str, IndexEntry],
    finder: RedrockFinder,
    callbacks: Callable[[int], None] = lambda done: None,
) -> JoinOutcome:
    """Join what is not joined yet, or was joined with other versions of Redrock's files.

    Args:
        scores: the dataset, which must be locked.
        files: of the pool.
        entries: of all parts, by the name of the file.
        finder: finds Redrock's files.
        callbacks: called after each part with 1.
    """
    forget_listings()
    scored = [file for file in files if file.name in entries]
    outcome = JoinOutcome(dict(entries))
    broken: dict[str, str] = {}
    for file in scored:
        try:
            outcome.files[file.name] = finder.find(file)
        except InputError as error:
            outcome.files[file.name], broken[file.name] = RedrockFiles(), str(error)
    before = _read_index(scores.path / INDEX)
    if not broken and all(found.results is None for found in outcome.files.values()):
        outcome.files = {}
        if (scores.path / INDEX).exists():  # the files were there once
            for file in scored:
                _drop(scores, file, outcome)
            (scores.path / INDEX).unlink(missing_ok=True)
        return outcome
    for file in scored:
        found, known = outcome.files[file.name], before.get(file.name)
        version, part = found.version(), outcome.entries[file.name].part
        why = broken.get(file.name)
        same = known is not None and (known.redrock, known.part) == (version, part)
        if known is not None and same and why == (None if version else known.refused):
            outcome.joined[file.name] = known
        else:
            _join(scores, file, found, version, why, outcome)
        callbacks(1)
    if outcome.joined != before:
        _write_index(scores.path / INDEX, outcome.joined)
    return outcome


def _join(
    scores: ScoresFolder,
    file: SpectraFile,
    found: RedrockFiles,
    version: str,
    refused: str | None,
    outcome: JoinOutcome,
) -> None:
    part = scores.read_part(file)
    table, answered = with_redrock(part, None)
    if found.results is not None:
        try:
            table, answered = with_redrock(part, read_redrock(found))
        except InputError as error:
            refused = str(error)
    _store(scores, file, part, table, outcome)
    stat = outcome.entries[file.name].part
    outcome.joined[file.name] = Joined(version, len(part), answered, refused, stat)


def _drop(scores: ScoresFolder, file: SpectraFile, outcome: JoinOutcome) -> None:
    part = scores.read_part(file)
    _store(scores, file, part, without_redrock(part), outcome)


def _store(
    scores: ScoresFolder, file: SpectraFile, old: pa.Table, new: pa.Table, outcome: JoinOutcome
) -> None:
    """Write a part if its columns of Redrock have changed."""
    digest = columns_digest(new)
    document = json.loads(old.schema.metadata[METADATA])
    if columns_digest(old) == digest == document.get("redrock"):
        return
    document.pop("redrock", None)
    if digest is not None:
        document["redrock"] = digest
    scores.forget_exports(file)
    stat = scores.store(file, new, document)
    outcome.entries[file.name] = replace(outcome.entries[file.name], part=stat)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _rows(joined: Mapping[str, Joined]) -> Iterator[tuple[object, ...]]:
    for name, j in sorted(joined.items()):
        yield (name, j.redrock, j.rows, j.answered, j.refused, *j.part)


def _read_index(path: Path) -> dict[str, Joined]:
    try:
        rows = pq.read_table(path, schema=SCHEMA, partitioning=None).to_pylist()
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return {}
    return {
        r["FILE"]: Joined(
            r["REDROCK"],
            r["ROWS"],
            r["ANSWERED"],
            r["REFUSED"],
            (r["PART_SIZE"], r["PART_MTIME_NS"]),
        )
        for r in rows
    }


def _write_index(path: Path, joined: Mapping[str, Joined]) -> None:
    columns = list(zip(*_rows(joined), strict=True)) if joined else [()] * len(SCHEMA)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)]
    with written_aside(path) as scratch:
        pq.write_table(pa.table(arrays, schema=SCHEMA), scratch, compression="zstd")
