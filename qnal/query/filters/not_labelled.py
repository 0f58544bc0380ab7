"""Targets without a label."""

from pathlib import Path

from qnal.errors import InputError
from qnal.query.filters.not_listed import NotListed
from qnal.query.target_list import read_target_lists


class NotLabelled(NotListed):
    """Drop the targets that a label table holds.

    Args:
        labels: a label table with the column TARGETID (Parquet, CSV or FITS), or a folder with
            Parquet files.
    """

    def __init__(self, labels: str) -> None:
        path = Path(labels).expanduser()
        files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
        files = [file for file in files if not file.name.startswith((".", "_"))]
        if not files:
            raise InputError(f"{path}: holds no label table (no *.parquet in it).")
        super().__init__(read_target_lists(files), "not labelled yet")
