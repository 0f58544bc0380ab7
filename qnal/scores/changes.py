"""Two scores datasets of the same pool: which spectra are called otherwise."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd

from qnal.files import written_aside
from qnal.spectra.target_table import SNR, arms_of

# The class with the most votes; ties go to the first of QSO_HZ, QSO_LZ and NOT.
_CLASS = """case when {t}.C_QSO_HZ >= greatest({t}.C_NOT, {t}.C_QSO_LZ) then 'QSO_HZ'
     when {t}.C_QSO_LZ >= {t}.C_NOT then 'QSO_LZ' else 'NOT' end"""
_JOINED = """
create temp view joined as
select a.TARGETID, a.FILE, a.ROW, {before} as BEFORE, {after} as AFTER,
    a.Z as Z_BEFORE, b.Z as Z_AFTER,
    b.P_QSO_LZ + b.P_QSO_HZ - a.P_QSO_LZ - a.P_QSO_HZ as P_CHANGE,
    b.VOTE_ENTROPY - a.VOTE_ENTROPY as ENTROPY_CHANGE,
    {snr} as SNR
from read_parquet('{champion}/**/*.parquet', hive_partitioning=false) a
join read_parquet('{candidate}/**/*.parquet', hive_partitioning=false) b using (FILE, ROW)
where a.STATUS = 'ok' and b.STATUS = 'ok'
"""
# One spectrum per target, the one that changes most; the columns are those of a query's selection.
_SELECTION = """
select row_number() over (order by abs(j.P_CHANGE) desc, j.TARGETID) as RANK, b.*,
    'flipped' as STRATEGY, false as CONTROL,
    format('{{}} by the champion, {{}} by the candidate', BEFORE, AFTER) as REASON
from (
    select *, row_number() over (
        partition by TARGETID order by abs(P_CHANGE) desc, FILE, ROW) as place
    from joined where BEFORE <> AFTER
) j
join read_parquet('{candidate}/**/*.parquet', hive_partitioning=false) b
    on b.FILE = j.FILE and b.ROW = j.ROW
where j.place = 1 and {is_target}
order by RANK
"""
_SNR = "case when SNR < 1 then '<1' when SNR < 2 then '1-2' when SNR < 4 then '2-4' else '>4' end"


@dataclass(frozen=True)
class PoolChanges:
    """How two ensembles differ on a pool.

    Attributes:
        spectra, changed: usable spectra of both datasets, and those of another class.
        flipped: targets of another class, without sky fibres.
        entropy_change: mean change of the entropy of the votes, in nats.
        classes: BEFORE, AFTER and their number of spectra.
        by_snr: SNR (the highest of the cameras'), spectra and changed.
        by_redshift: Z (lower edge of a bin of 0.25), quasars before and after.
    """

    spectra: int
    changed: int
    flipped: int
    entropy_change: float | None
    classes: pd.DataFrame
    by_snr: pd.DataFrame
    by_redshift: pd.DataFrame


def pool_changes(champion: Path, candidate: Path, flipped: Path, selection: Path) -> PoolChanges:
    """Compare two datasets of the same pool, in memory that does not depend on their size.

    Args:
        champion, candidate: folders of the parts.
        flipped: where to write a table (CSV) of the spectra whose class changes, those with the
            largest change of the quasar probability first.
        selection: where to write the targets of these spectra as a selection to inspect (CSV).
    """
    quoted = {k: str(p).replace("'", "''") for k, p in (("champion", champion),
                                                       ("candidate", candidate))}  # fmt: skip
    with duckdb.connect() as db:
        names = db.execute(
            f"describe select * from read_parquet('{quoted['champion']}/**/*.parquet')"
        ).fetchall()
        columns = [name for name, *_ in names]
        arms = arms_of(columns)
        snr = f"greatest({', '.join(f'a.{SNR}{arm}' for arm in arms)})"
        classes = {"before": _CLASS.format(t="a"), "after": _CLASS.format(t="b")}
        db.execute(_JOINED.format(snr=snr, **classes, **quoted))
        row = db.execute(
            "select count(*), count(*) filter (BEFORE <> AFTER), avg(ENTROPY_CHANGE) from joined"
        ).fetchone()
        changes = "select * from joined where BEFORE <> AFTER order by abs(P_CHANGE) desc, "
        _write(db, f"{changes} TARGETID, FILE, ROW", flipped)
        is_target = "b.TARGETID >= 0"
        if "OBJTYPE" in columns:
            is_target += " and coalesce(b.OBJTYPE::varchar, '') <> 'SKY'"
        targets = _SELECTION.format(candidate=quoted["candidate"], is_target=is_target)
        inspected = _write(db, targets, selection)
        counts = db.execute(
            "select BEFORE, AFTER, count(*) as spectra from joined group by all order by all"
        ).df()
        by_snr = db.execute(
            f"select {_SNR} as SNR, count(*) as spectra, "
            "count(*) filter (BEFORE <> AFTER) as changed from joined group by 1 order by min(SNR)"
        ).df()
        by_redshift = db.execute(
            "select floor(z * 4) / 4 as Z, sum(b) as before, sum(a) as after from ("
            "select Z_BEFORE as z, 1 as b, 0 as a from joined where BEFORE <> 'NOT' union all "
            "select Z_AFTER, 0, 1 from joined where AFTER <> 'NOT') where z is not null "
            "group by 1 order by 1"
        ).df()
    if row is None:
        raise RuntimeError("DuckDB counted nothing")
    spectra, changed, entropy_change = row
    return PoolChanges(spectra, changed, inspected, entropy_change, counts, by_snr, by_redshift)


def _write(db: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
    """Write the result of a query as CSV; returns its number of rows."""
    with written_aside(path) as scratch:
        to = str(scratch).replace("'", "''")
        written = db.execute(f"copy ({query}) to '{to}' (format csv, header)").fetchone()
    return int(written[0]) if written else 0
