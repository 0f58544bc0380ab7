"""Files of a selection for other programs: FITS, and a command for DESI's inspection pages."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.files import write_text
from qnal.spectra.fits import create_fits

EXTENSION = "SELECTION"
Z_MAX = 7  # of the redshift slider, which otherwise ends at 5


def write_selection_fits(path: Path, table: pa.Table, metadata: Mapping[str, Any]) -> None:
    """Write a selection as a binary table.

    Unknown integers are stored as the TNULL of their column, unknown floats as NaN, unknown strings
    as ''. The metadata are in the header, as one JSON text in the keyword QNAL.
    """
    arrays, nulls = {}, {}
    for name in table.column_names:
        arrays[name], null = _fits_column(table[name].combine_chunks())
        if null is not None:
            nulls[name] = null
    with create_fits(path) as out:
        out.write(list(arrays.values()), names=list(arrays), extname=EXTENSION)
        hdu = out[-1]
        for number, name in enumerate(arrays, start=1):
            if name in nulls:
                hdu.write_key(f"TNULL{number}", nulls[name])
        hdu.write_key("QNAL", json.dumps(metadata))


def _fits_column(column: pa.Array) -> tuple[NDArray[Any], int | None]:
    """A column as FITS can store it, and the value that stands for null, if one is needed."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_null(kind):
        column, kind = column.cast(pa.string()), pa.string()
    if pa.types.is_integer(kind):
        # FITS has no signed bytes.
        dtype = np.dtype(np.int16) if kind.bit_width == 8 else np.dtype(f"i{kind.bit_width // 8}")
        lowest = int(np.iinfo(dtype).min)
        values = column.cast(pa.from_numpy_dtype(dtype))
        return np.asarray(values.fill_null(lowest), dtype), lowest if column.null_count else None
    if pa.types.is_floating(kind):
        return column.to_numpy(zero_copy_only=False), None
    if pa.types.is_boolean(kind):
        return np.asarray(column.fill_null(False).to_numpy(zero_copy_only=False), bool), None
    texts = [str(v if v is not None else "").encode() for v in column.to_pylist()]
    return np.array(texts, f"S{max(map(len, texts), default=1) or 1}"), None


def write_prospect(folder: Path, table: pa.Table, pool: Path, targets: Path) -> Path | None:
    """Write ``prospect_files.txt`` and ``prospect.sh``, which makes DESI's inspection pages.

    The command lists the files that hold the selected spectra, each once. ``prospect_pages`` drops
    spectra with FIBERSTATUS ≠ 0 without a word, and its redshift slider ends at 5, unless it is
    told otherwise. Its pages are in the order of the files, not of the ranks.

    Args:
        folder: where to write.
        table: the selection, with FILE.
        pool: folder that FILE is relative to.
        targets: the list of TARGETIDs.

    Returns:
        The command file; None if the scores have no FILE.
    """
    if "FILE" not in table.column_names or table["FILE"].null_count == len(table):
        return None
    files = sorted({str(pool / name) for name in table["FILE"].to_pylist() if name is not None})
    listed, command = folder / "prospect_files.txt", folder / "prospect.sh"
    write_text(listed, "".join(f"{file}\n" for file in files))
    write_text(
        command,
        f"""\
#!/bin/bash
# Makes DESI's inspection pages (https://github.com/desihub/prospect) of the selected spectra, 50
# per page, in the order of the files. Add --zcat_files to show the redshifts of Redrock.
set -e
cd "$(dirname "$0")"
mapfile -t files < {listed.name}
prospect_pages --spectra_files "${{files[@]}}" \\
    --target_list {shlex.quote(targets.name)} \\
    --no_clean_fiberstatus \\
    --zmax_slider {Z_MAX} \\
    --top_metadata TARGETID COADD_FIBERSTATUS \\
    --titlepage_prefix qnal_selection \\
    --outputdir "${{1:-.}}"
""",
    )
    return command
