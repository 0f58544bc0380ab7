"""Targets that are not on lists in files."""

from collections.abc import Sequence
from pathlib import Path

from qnal.query.filters.not_listed import NotListed
from qnal.query.target_list import read_target_lists


class TargetLists(NotListed):
    """Drop the targets on lists: text, CSV, FITS or Parquet files (:mod:`qnal.query.target_list`).

    Args:
        paths: a file or several.
        name: name of the step in the funnel.
        interesting: see :class:`Filter`.
    """

    def __init__(
        self,
        paths: str | Sequence[str],
        name: str = "not on other lists",
        interesting: bool = False,
    ) -> None:
        several = [paths] if isinstance(paths, str) else list(paths)
        files = [Path(path).expanduser() for path in several]
        super().__init__(read_target_lists(files), name, interesting)
