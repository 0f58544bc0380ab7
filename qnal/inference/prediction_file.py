"""One file of the prediction cache: predictions of some members for the spectra of one input."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qnal.files import written_aside
from qnal.inference.packing import PackedPredictions, Packing

METADATA = b"qnal"


@dataclass(frozen=True)
class Group:
    """Members whose predictions for one file were computed in one go.

    Attributes:
        path: the Parquet file.
        table: digest of the target table in it.
        members: their checksums.
        margins: see :class:`~qnal.inference.packing.PackedPredictions`.
        som: fingerprint of the SOM of the BMUs in it, if any.
        whole: whether all usable rows have predictions.
        targeting: name of the column that DESI_TARGET was taken from; None if it is not known.
    """

    path: Path
    table: str
    members: tuple[str, ...]
    margins: NDArray[np.float64]
    som: str | None
    whole: bool = True
    targeting: str | None = None


def nested(
    packed: PackedPredictions, packing: Packing, ok: NDArray[np.bool_]
) -> dict[str, pa.Array]:
    """Lists by name, one per row, of one number per member; null where ``ok`` is not true."""
    lines = np.concatenate([packed.confidence, packed.z, packed.bal], axis=1).swapaxes(0, 1)
    arrays = {"DECIDING": packed.deciding, "Z_BEST": packed.z_best}
    arrays |= dict(zip(packing.columns(), lines, strict=True)) | {"RECHECKED": packed.rechecked}
    # Not lists of fixed size: pyarrow cannot read those back from Parquet where some are null.
    offsets = np.concatenate([[0], np.cumsum(ok) * len(packed.margins)]).astype(np.int32)
    null = pa.array(~ok)
    return {
        name: pa.ListArray.from_arrays(offsets, pa.array(array.reshape(-1)), mask=null)
        for name, array in arrays.items()
    }


def unnested(table: pa.Table, group: Group, packing: Packing) -> PackedPredictions:
    """The inverse of :func:`nested`; KeyError or ValueError if the table is not such a one."""
    members, columns, lines = len(group.members), packing.columns(), len(packing.lines)

    def array(name: str) -> NDArray[Any]:
        flat = table[f"MEMBER_{name}"].combine_chunks().flatten()
        return flat.to_numpy(zero_copy_only=False).reshape(-1, members)

    deciding = array("DECIDING")
    code = np.float32 if packing.exact else np.uint16

    def stacked(names: Sequence[str]) -> NDArray[Any]:
        none = np.zeros((len(deciding), 0, members), code)
        return np.stack([array(name) for name in names], axis=1) if names else none

    return PackedPredictions(
        deciding,
        array("Z_BEST"),
        stacked(columns[:lines]),
        stacked(columns[lines : 2 * lines]),
        stacked(columns[2 * lines :]),
        array("RECHECKED"),
        group.margins,
    )


def write_table(path: Path, table: pa.Table, meta: dict[str, Any], **options: Any) -> None:
    """Write a table and what it is of; ``options`` are those of pyarrow's ``write_table``."""
    table = table.replace_schema_metadata({METADATA: json.dumps(meta, sort_keys=True)})
    with written_aside(path) as scratch:
        pq.write_table(table, scratch, compression="zstd", **options)


def read_columns(path: Path, names: Sequence[str]) -> pa.Table | None:
    """Some columns of a file; None if it cannot be read."""
    try:
        table = pq.read_table(path, columns=list(names), partitioning=None)
    except (OSError, pa.ArrowException):
        return None
    return table.replace_schema_metadata()


def read_metadata(path: Path) -> dict[str, Any]:
    """What a file says that it is of; nothing if it cannot be read."""
    try:
        content = json.loads(pq.read_metadata(path).metadata[METADATA])
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
        return {}
    return content if isinstance(content, dict) else {}
