"""Which spectra of a file are used: a condition in SQL on the columns of its target table."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.errors import ConfigError, InputError
from qnal.spectra.readers.reader import Reader
from qnal.spectra.target_table import target_columns

Bits = Mapping[str, Mapping[str, int]]
_HAS_BIT = re.compile(r"\bhas_bit\s*\(\s*\"?(\w+)\"?\s*,\s*'([^']*)'\s*\)", re.IGNORECASE)
_HAS_BIT_START = re.compile(r"\bhas_bit\b", re.IGNORECASE)
TARGETING = "DESI_TARGET"
# AB magnitudes of fluxes in nanomaggies; null for fluxes that are not positive.
MAGNITUDES = {f"MAG_{band}": f"FLUX_{band}" for band in "GRZ"}
_MAGNITUDE = "CASE WHEN {flux} > 0 THEN 22.5 - 2.5 * log10({flux}::DOUBLE) END AS {name}"


@dataclass(frozen=True)
class RowCondition:
    """A condition on the rows of target tables.

    Attributes:
        where: an SQL expression, as DuckDB takes it, of the columns of the target table, MAG_G,
            MAG_R, MAG_Z and ``has_bit(COLUMN, 'NAME')``; None: all rows.
        bits: numbers of the bits of targeting columns, by column and name.
        targets: file (.npy) of sorted TARGETIDs; other targets are left out. None: all targets.
        digest: of these TARGETIDs.
        setting: what the condition is called in messages.
    """

    where: str | None = None
    bits: Bits | None = None
    targets: Path | None = None
    digest: str | None = None
    setting: str = "where"

    def __bool__(self) -> bool:
        return self.where is not None or self.targets is not None

    @property
    def uses_bits(self) -> bool:
        """Whether it depends on which targeting column a file has."""
        return self.where is not None and bool(_HAS_BIT_START.search(self.where))

    def key(self) -> dict[str, Any]:
        """What results that depend on it are named by; empty without a condition."""
        key = {"where": self.where and " ".join(self.where.split()), "targets": self.digest}
        return {name: value for name, value in key.items() if value is not None}

    def check(self, reader: Reader) -> None:
        """Check the condition before any work.

        Raises:
            ConfigError: it is not SQL, names a column or a bit that does not exist, or is not true
                or false.
        """
        if self.where is None:
            return
        table = target_columns(reader.arms, reader.named).empty_table()
        sql = self._sql(TARGETING)
        try:
            with duckdb.connect(config={"enable_external_access": False}) as connection:
                connection.register("spectra", table)
                given = f"SELECT ({sql}) AS kind FROM ({_rows(table)})"
                ((_, kind, *_),) = connection.execute(f"DESCRIBE {given}").fetchall()
                connection.execute(f"SELECT ROW FROM ({_rows(table)}) WHERE ({sql})")
        except duckdb.Error as error:
            raise ConfigError(self._sentence(error, [*table.column_names, *MAGNITUDES])) from error
        if kind not in ("BOOLEAN", '"NULL"'):
            raise ConfigError(
                f"{self.setting}={self.where}: it is of type {kind}; a condition that is true or "
                "false is expected."
            )

    def selected(self, table: pa.Table, targeting: str, where: str) -> NDArray[np.bool_]:
        """Which rows of a target table satisfy the condition; unknown counts as false.

        Args:
            table: the target table.
            targeting: name of the column that its DESI_TARGET was taken from.
            where: the file, for messages.

        Returns:
            Shape [rows].

        Raises:
            InputError: the condition cannot be evaluated for these rows.
        """
        chosen = np.ones(len(table), bool)
        if self.targets is not None:
            ids = _sorted_ids(self.targets)
            targetid = np.asarray(table["TARGETID"])
            place = np.minimum(np.searchsorted(ids, targetid), max(len(ids) - 1, 0))
            chosen = ids[place] == targetid if len(ids) else np.zeros(len(table), bool)
        if self.where is None or not len(table):
            return np.asarray(chosen)
        sql = f"SELECT coalesce(({self._sql(targeting)}), false) AS chosen FROM ({_rows(table)})"
        connection = _connection()
        try:
            connection.register("spectra", table)
            found = connection.execute(sql).fetchnumpy()["chosen"]
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{where}: {self.setting} cannot be evaluated ({reason}).") from error
        finally:
            connection.unregister("spectra")
        return np.asarray(chosen & np.asarray(found, bool))

    def _sql(self, targeting: str) -> str:
        """The condition with ``has_bit`` in terms of DESI_TARGET, for one targeting column."""
        known: Bits = self.bits or {}

        def expression(found: re.Match[str]) -> str:
            column, name = found[1].upper(), found[2]
            if column not in known:
                raise ConfigError(
                    f"{self.setting}: has_bit({found[1]}, '{name}') names no targeting column; "
                    f"valid ones: {', '.join(known) or 'none, with this reader'}."
                )
            # DESI_TARGET stands for whichever column the file has.
            columns = [*known] if column == TARGETING else [column]
            names = dict.fromkeys(n for c in columns for n in known[c])
            if name not in names:
                raise ConfigError(
                    f"{self.setting}: has_bit({found[1]}, '{name}') names no bit; valid ones: "
                    f"{', '.join(names)}."
                )
            bit = known.get(targeting, {}).get(name) if targeting in columns else None
            return "false" if bit is None else f"(({TARGETING} >> {bit}) & 1 = 1)"

        sql = _HAS_BIT.sub(expression, self.where or "true")
        if _HAS_BIT_START.search(sql):
            raise ConfigError(
                f"{self.setting}={self.where}: has_bit takes a column and the name of a bit, such "
                "as has_bit(DESI_TARGET, 'QSO')."
            )
        return f"{sql}\n"  # which ends a comment

    def _sentence(self, error: duckdb.Error, columns: list[str]) -> str:
        first = str(error).splitlines()[0]
        unknown = re.search(r'column "?(\w+)"? not found', first)
        if unknown:
            return (
                f"{self.setting}={self.where}: there is no column {unknown[1]}; valid ones: "
                f"{', '.join(columns)}."
            )
        reason = first.partition(": ")[2].rstrip(" !.") or first
        return f"{self.setting}={self.where}: not a condition in SQL ({reason})."


def _rows(table: pa.Table) -> str:
    """A query for the rows of a target table, with magnitudes."""
    magnitudes = [
        _MAGNITUDE.format(flux=flux, name=name)
        for name, flux in MAGNITUDES.items()
        if flux in table.column_names
    ]
    return f"SELECT {', '.join(['*', *magnitudes])} FROM spectra"


@lru_cache(maxsize=1)
def _connection() -> duckdb.DuckDBPyConnection:
    """A database of this process in which single files are looked at."""
    return duckdb.connect(":memory:", config={"threads": 1, "enable_external_access": False})


@lru_cache(maxsize=1)
def _sorted_ids(path: Path) -> NDArray[np.int64]:
    return np.asarray(np.load(path, mmap_mode="r"))
