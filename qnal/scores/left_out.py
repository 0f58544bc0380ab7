"""How many spectra of a pool a condition leaves out, summed up from the parts."""

import json
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from qnal.errors import InputError
from qnal.files import written_aside
from qnal.scores.dataset import METADATA, ScoresFolder
from qnal.scores.file_index import IndexEntry

LEFT_OUT = "left_out"  # in the metadata of a part
INDEX = "_left_out.parquet"
SCHEMA = pa.schema([("FILE", pa.string()), ("CONTENT", pa.string()), ("LEFT_OUT", pa.int64())])


def left_out(scores: ScoresFolder, entries: Mapping[str, IndexEntry]) -> int:
    """Number of spectra that are left out of a dataset with a condition.

    Only parts that are new since the last call are opened.

    Args:
        scores: the dataset, which must be locked.
        entries: of all its parts.

    Raises:
        InputError: a part is damaged.
    """
    before = _read(scores)
    after: dict[str, tuple[str, int]] = {}
    for name, entry in entries.items():
        content = f"{entry.version.spectra} {entry.version.table}"
        known = before.get(name)
        if known is None or known[0] != content:
            known = content, _of_part(scores, name)
        after[name] = known
    if after != before:
        rows = [(name, *known) for name, known in sorted(after.items())]
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(SCHEMA)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)]
        with written_aside(scores.path / INDEX) as scratch:
            pq.write_table(pa.table(arrays, schema=SCHEMA), scratch, compression="zstd")
    return sum(number for _, number in after.values())


def _of_part(scores: ScoresFolder, name: str) -> int:
    part = scores.parts / f"{name}.parquet"
    try:
        return int(json.loads(pq.read_metadata(part).metadata[METADATA])[LEFT_OUT])
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{part}: it is damaged; delete it and run stage=infer again.") from error


def _read(scores: ScoresFolder) -> dict[str, tuple[str, int]]:
    try:
        rows = pq.read_table(scores.path / INDEX, schema=SCHEMA, partitioning=None).to_pylist()
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return {}
    return {row["FILE"]: (row["CONTENT"], row["LEFT_OUT"]) for row in rows}
