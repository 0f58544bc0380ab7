"""One round of labels: rows of the label table, from reconciled labels and their selection."""

import pandas as pd

from qnal.labels.label_table import SCHEMA, next_round
from qnal.labels.picks import Picks
from qnal.labels.reconcile import Reconciled


def round_rows(
    reconciled: Reconciled,
    picks: Picks,
    spectra: pd.DataFrame,
    pool: str | None,
    time: str,
    history: pd.DataFrame,
) -> pd.DataFrame:
    """Rows for :meth:`~qnal.labels.label_table.LabelTable.extend`.

    Args:
        reconciled: labels on which inspectors agree.
        picks: the selection that they belong to.
        spectra: TARGETID, FILE and ROW of all spectra of these targets in the pool.
        pool: folder that FILE is relative to; None if unknown.
        time: when the labels came back, ISO 8601.
        history: rows of the label table.
    """
    labels = reconciled.labels
    picked = picks.targets.loc[labels["TARGETID"]].reset_index(drop=True)
    rows = labels.drop(columns="OUTVOTED").join(picked)
    rounds = {s: next_round(history, s) for s in rows["SELECTION"].unique()}
    rows["ROUND"] = [
        rounds[s] if pd.isna(r) else r
        for s, r in zip(rows["SELECTION"], rows["ROUND"], strict=True)
    ]
    rows["WEIGHT"] = (rows["POPULATION"] / rows["CONTROLS"]).astype("Float64")
    ordered = spectra.sort_values(["TARGETID", "FILE", "ROW"])
    found = ordered.groupby("TARGETID").agg(FILES=("FILE", list), ROWS=("ROW", list))
    for name, single in (("FILES", "FILE"), ("ROWS", "ROW")):
        every = found[name].reindex(rows["TARGETID"]).tolist()
        lists = [
            v if isinstance(v, list) else ([] if pd.isna(one) else [one])
            for v, one in zip(every, rows[single], strict=True)
        ]
        rows[name] = pd.Series(lists, rows.index, object)  # lists also where there are no rows
    rows = rows.assign(POOL=pool, TIME=time)
    return rows[[name for name in SCHEMA.names if name != "VERSION"]]


def conflict_selection(reconciled: Reconciled, picks: Picks, history: pd.DataFrame) -> pd.DataFrame:
    """The targets without agreement, as a selection for a third look.

    It has the columns of the selection that the targets come from, and CONFLICT (what the
    inspectors said), SELECTION, ROUND, POPULATION and CONTROLS, so that the labels of the third
    look join the round of the others.
    """
    conflicts = reconciled.conflicts.set_index("TARGETID")["CONFLICT"]
    chosen = picks.targets.index.isin(conflicts.index)
    targets = picks.targets[chosen]
    table = picks.table[chosen].copy()
    table["CONFLICT"] = conflicts.loc[targets.index].to_numpy()
    for name in ("SELECTION", "ROUND", "POPULATION", "CONTROLS"):
        table[name] = targets[name].to_numpy()
    rounds = {s: next_round(history, s) for s in table["SELECTION"].unique()}
    table["ROUND"] = table["ROUND"].where(table["ROUND"].notna(), table["SELECTION"].map(rounds))
    return table
