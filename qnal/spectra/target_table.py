"""The target table: which object, fibre and exposure each spectrum of a file belongs to."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from qnal.errors import InputError

# The first columns of a scores dataset, in its order (docs/scores.md).
TARGET_COLUMNS = pa.schema(
    [
        pa.field("TARGETID", pa.int64(), nullable=False),
        ("TILEID", pa.int32()),
        ("EXPID", pa.int32()),
        ("NIGHT", pa.int32()),
        ("HPXPIXEL", pa.int32()),
        ("PETAL_LOC", pa.int16()),
        ("FIBER", pa.int32()),
        ("SURVEY", pa.string()),
        ("PROGRAM", pa.string()),
        pa.field("FILE", pa.string(), nullable=False),
        pa.field("ROW", pa.int32(), nullable=False),
        ("TARGET_RA", pa.float64()),
        ("TARGET_DEC", pa.float64()),
        ("OBJTYPE", pa.string()),
        ("COADD_FIBERSTATUS", pa.int32()),
        ("DESI_TARGET", pa.int64()),
        ("FLUX_G", pa.float32()),
        ("FLUX_R", pa.float32()),
        ("FLUX_Z", pa.float32()),
        ("SNR_B", pa.float32()),
        ("SNR_R", pa.float32()),
        ("SNR_Z", pa.float32()),
        pa.field("CAMERAS", pa.int8(), nullable=False),
        pa.field("STATUS", pa.string(), nullable=False),
    ]
)

Columns = dict[str, NDArray | pd.Series]


def target_table(columns: Columns, rows: int, path: Path) -> pa.Table:
    """A table of the schema :data:`TARGET_COLUMNS`; columns that are absent are null.

    Args:
        columns: values by column name, each of shape [rows].
        rows: number of spectra.
        path: their file, for the message.

    Raises:
        InputError: a column cannot be converted to its type.
    """
    arrays = []
    for field in TARGET_COLUMNS:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(rows, field.type))
            continue
        try:
            arrays.append(_arrow(values, field.type))
        except (pa.ArrowException, ValueError, TypeError) as error:
            raise InputError(
                f"{path}: column {field.name} does not hold {field.type} ({error})."
            ) from error
    return pa.table(arrays, schema=TARGET_COLUMNS)


def _arrow(values: NDArray | pd.Series, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pd.Series):
        values = values.to_numpy()
    if values.dtype == object:
        objects = [v.decode() if isinstance(v, bytes) else v for v in values.tolist()]
        return pa.array(objects, from_pandas=True).cast(kind)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    if values.dtype.kind == "U":
        values = np.char.strip(values)
        return pa.array([str(v) or None for v in values], pa.string()).cast(kind)
    return pa.array(values, from_pandas=True).cast(kind)
