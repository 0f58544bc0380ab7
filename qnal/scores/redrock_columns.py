"""Redrock's results as columns of a part, matched by TARGETID."""

import hashlib

import pyarrow as pa

from qnal.errors import InputError
from qnal.spectra.redrock import RedrockResults

REDROCK_COLUMNS = pa.schema(
    [
        ("Z_RR", pa.float64()),
        ("ZERR_RR", pa.float64()),
        ("ZWARN_RR", pa.int64()),
        ("SPECTYPE_RR", pa.string()),
        ("SUBTYPE_RR", pa.string()),
        ("DELTACHI2_RR", pa.float64()),
        ("IS_QSO_MGII", pa.bool_()),
    ]
)


def without_redrock(part: pa.Table) -> pa.Table:
    """A part without the columns of Redrock."""
    return part.drop_columns([n for n in REDROCK_COLUMNS.names if n in part.column_names])


def with_redrock(part: pa.Table, results: RedrockResults | None) -> tuple[pa.Table, int]:
    """A part with the columns of Redrock, and the number of its rows that have an answer.

    Args:
        part: the scores of one file.
        results: Redrock's results; None: the columns are null.

    Raises:
        InputError: the results are of other targets.
    """
    part, rows = without_redrock(part), len(part)
    if results is None:
        columns = [pa.nulls(rows, field.type) for field in REDROCK_COLUMNS]
        return _appended(part, columns), 0
    targetid = part["TARGETID"].to_numpy()
    found = results.rows_of(targetid)
    known = found >= 0
    if rows and not known.any():
        raise InputError(
            f"{results.path}: it belongs to other targets; none of its {len(results)} TARGETIDs is "
            f"in {part['FILE'][0]}."
        )
    where = pa.array(found, mask=~known)
    text = [pa.array([str(v) or None for v in t]) for t in (results.spectype, results.subtype)]
    numbers = [
        pa.array(v, from_pandas=True)
        for v in (results.z, results.zerr, results.zwarn, results.deltachi2)
    ]
    z, zerr, zwarn, deltachi2 = (array.take(where) for array in numbers)
    spectype, subtype = (array.cast(pa.string()).take(where) for array in text)
    mgii = results.is_qso_mgii or {}
    is_mgii = pa.array([mgii.get(t) for t in targetid.tolist()], pa.bool_())
    columns = [z, zerr, zwarn, spectype, subtype, deltachi2, is_mgii]
    return _appended(part, columns), int(known.sum())


def columns_digest(part: pa.Table) -> str | None:
    """Digest of the columns of Redrock; None where there are none."""
    present = [name for name in REDROCK_COLUMNS.names if name in part.column_names]
    if not present:
        return None
    sink = pa.BufferOutputStream()
    table = part.select(present).combine_chunks().replace_schema_metadata()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _appended(part: pa.Table, columns: list[pa.Array]) -> pa.Table:
    for field, column in zip(REDROCK_COLUMNS, columns, strict=True):
        part = part.append_column(field, column.cast(field.type))
    return part
