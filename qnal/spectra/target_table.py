"""The target table: which object, fibre and exposure each spectrum of a file belongs to."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from qnal.errors import InputError

# The first columns of a scores dataset, in its order (docs/scores.md); SNR_ARM of each arm come
# before CAMERAS, and OBJECT after TARGETID where a survey names its objects.
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
        pa.field("CAMERAS", pa.int8(), nullable=False),
        pa.field("STATUS", pa.string(), nullable=False),
    ]
)

SNR = "SNR_"
MOST_ARMS = 7  # CAMERAS has 8 bits, one of which is the sign
Columns = dict[str, NDArray | pd.Series]


def target_columns(arms: Sequence[str], named: bool = False) -> pa.Schema:
    """The columns of a target table of a reader with these arms.

    Args:
        arms: names of the arms of the spectrograph.
        named: whether objects have names.
    """
    schema = TARGET_COLUMNS
    for arm in arms:
        schema = schema.insert(schema.get_field_index("CAMERAS"), pa.field(SNR + arm, pa.float32()))
    return schema.insert(1, pa.field("OBJECT", pa.string())) if named else schema


def arms_of(columns: Sequence[str]) -> list[str]:
    """Names of the arms that a table with these columns is of, in the order of CAMERAS' bits."""
    return [name.removeprefix(SNR) for name in columns if name.startswith(SNR)]


def target_table(
    columns: Columns, rows: int, path: Path, arms: Sequence[str], named: bool = False
) -> pa.Table:
    """A table of the columns :func:`target_columns`; columns that are absent are null.

    Args:
        columns: values by column name, each of shape [rows].
        rows: number of spectra.
        path: their file, for the message.
        arms, named: see :func:`target_columns`.

    Raises:
        InputError: a column cannot be converted to its type.
    """
    arrays = []
    schema = target_columns(arms, named)
    for field in schema:
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
    return pa.table(arrays, schema=schema)


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
