"""stage=label: take in the labels that inspectors returned."""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from qnal.config.schema import Config, Stage
from qnal.errors import ConfigError, QnalError
from qnal.files import write_text, written_aside
from qnal.labels.agreement import agreement
from qnal.labels.label_table import NAME, LabelTable
from qnal.labels.picks import SUSPECTED, Check, Picks, check_against, read_picks
from qnal.labels.reconcile import Reconciled, reconcile
from qnal.labels.returned import read_returned
from qnal.labels.round import conflict_selection, round_rows
from qnal.progress import say
from qnal.scores.dataset import ScoresFolder
from qnal.scores.target_spectra import spectra_of
from qnal.spectra.spectra_file import common_folder, paths_of
from qnal.stages import Job
from qnal.stages.selection_scores import scores_of
from qnal.stages.work_folder import LATEST, WorkFolder
from qnal.summary import Number, Summary
from qnal.tracking import Note

TABLES = {"agreement", "conflicts", "not_asked", "not_returned"}
NO_SPECTRA = ("TARGETID", "FILE", "ROW")


def label(config: Config, job: Job) -> Summary:
    """Reconcile the inspectors' labels, and add them to the label table."""
    tables, selection = _inputs(config)
    table = LabelTable(_table_path(config))
    before = table.history()
    returned = read_returned(tables)
    picks = read_picks(selection, config.label.population)
    scored = _Scored.find(selection, config, [*picks.targets.index, *returned["TARGETID"]])
    check = check_against(picks, returned, scored.spectra["TARGETID"])
    picks, scored = _in_pool(picks, scored, config.work)
    reconciled = reconcile(check.returned, config.label.bal_recorded)
    pairs = agreement(check.returned)
    with job.run(config, Stage.label, f"label the picks of {selection.name}") as run:
        time = datetime.now(UTC).isoformat(timespec="seconds")
        pool = scored.pool_for(table.path, config.work)
        added = table.extend(
            lambda history: round_rows(reconciled, picks, scored.spectra, pool, time, history)
        )
        paths = {"labels": str(table.path), "selection": str(selection)}
        if scored.path is not None:
            paths["scores"] = str(scored.path)
        paths |= _written(job.folder, reconciled, picks, check, pairs, before)
        for name in TABLES & paths.keys():
            run.file(Path(paths[name]), "tables")
        metrics = _metrics(reconciled, picks, check, pairs)
        metrics |= {"new_labels": len(added), "all_labels": len(table.current())}
        run.metrics(metrics)
        WorkFolder(config.work).set_latest("labels", table.path)
    notes = _notes(reconciled, picks, check, scored, paths)
    run.note(
        Note(
            f"Labels of {len(reconciled.labels):,} targets, {len(added):,} of them new in the "
            "label table.",
            paths,
            metrics,
            remarks=notes,
            next_step={
                "train with them: add to the last training's command": f"data.labels={table.path}"
            },
        )
    )
    return Summary("label", mlflow_run_id=run.id, paths=paths, metrics=metrics, notes=notes)


def _inputs(config: Config) -> tuple[list[Path], Path]:
    """The tables and the selection."""
    tables = paths_of(config.label.tables, "label.tables")
    if not tables:
        raise ConfigError(
            "label.tables is not set; give the tables that inspectors returned, such as "
            "label.tables='desi-vi_*.csv'."
        )
    selection = WorkFolder(config.work).given_or_latest(
        config.label.selection, "label.selection", "selection"
    )
    if selection is None:
        raise ConfigError(
            f"label.selection is not set and {config.work_dir}/{LATEST} names no selection; give "
            "the selection.csv that the inspectors were given."
        )
    return tables, selection


def _table_path(config: Config) -> Path:
    if config.label.path is None:
        return config.work / "labels" / NAME
    return Path(config.label.path).expanduser().absolute()


@dataclass(frozen=True)
class _Scored:
    """Spectra of the pool that the selection comes from.

    Attributes:
        spectra: TARGETID, FILE and ROW of the targets' spectra in the pool.
        pool: the folder that FILE is relative to; None if unknown.
        path: the scores dataset; None if there is none.
    """

    spectra: pd.DataFrame
    pool: Path | None
    path: Path | None = None

    @classmethod
    def find(cls, selection: Path, config: Config, targetids: list[int]) -> "_Scored":
        """By the scores of the query that made the selection, else by the last scores."""
        work = WorkFolder(config.work)
        path = scores_of(selection, work) or work.latest("scores")
        if path is None or not path.is_dir():
            return cls(pd.DataFrame(columns=list(NO_SPECTRA)), None)
        folder = ScoresFolder(path)
        try:
            pool = common_folder(paths_of(list(folder.description().pool), "data.pool"))
        except QnalError as error:
            say(f"the pool of {path} is not known: {error}")
            pool = None
        return cls(spectra_of(folder.parts, targetids), pool, path)

    def pool_for(self, table: Path, work: Path) -> str | None:
        """The pool for the label table: relative to the table's folder if inside ``work``."""
        if self.pool is None:
            return None
        if not (self.pool.is_relative_to(work) and table.is_relative_to(work)):
            return str(self.pool)
        return Path(os.path.relpath(self.pool, table.parent)).as_posix()


def _in_pool(picks: Picks, scored: _Scored, work: Path) -> tuple[Picks, _Scored]:
    """Name the files of suspected labels, which need not be in the pool, relative to the pool.

    If the pool is unknown, the work folder takes its place.
    """
    suspected = (picks.targets["STRATEGY"] == SUSPECTED) & picks.targets["FILE"].notna()
    if not suspected.any():
        return picks, scored
    pool = scored.pool or work
    if scored.pool is None:
        scored = _Scored(scored.spectra[:0], work)
    files = picks.targets["FILE"].copy()
    for targetid in files.index[suspected]:
        path = work / files[targetid]
        both = path.is_relative_to(work) and pool.is_relative_to(work)
        files[targetid] = Path(os.path.relpath(path, pool)).as_posix() if both else str(path)
    return replace(picks, targets=picks.targets.assign(FILE=files)), scored


def _written(
    folder: Path,
    reconciled: Reconciled,
    picks: Picks,
    check: Check,
    pairs: pd.DataFrame,
    history: pd.DataFrame,
) -> dict[str, str]:
    """Write the tables of the job; returns their paths."""
    tables = {
        "agreement": pairs,
        "conflicts": conflict_selection(reconciled, picks, history),
        "not_asked": check.not_asked.drop(columns="TABLE"),
    }
    paths = {}
    for name, content in tables.items():
        if len(content):
            paths[name] = folder / f"{name}.csv"
            with written_aside(paths[name]) as scratch:
                content.to_csv(scratch, index=False)
    if check.not_returned:
        paths["not_returned"] = folder / "not_returned.txt"
        write_text(paths["not_returned"], "".join(f"{t}\n" for t in check.not_returned))
    return {name: str(path) for name, path in paths.items()}


def _metrics(
    reconciled: Reconciled, picks: Picks, check: Check, pairs: pd.DataFrame
) -> dict[str, Number]:
    control = picks.targets["CONTROL"].loc[reconciled.labels["TARGETID"]]
    kappa = pairs["KAPPA"].dropna()
    return {
        "labels": len(reconciled.labels),
        "conflicts": len(reconciled.conflicts),
        "control": int(control.sum()),
        "inspectors": int(check.returned["INSPECTOR"].nunique()),
        "not_returned": len(check.not_returned),
        "not_asked": int(check.not_asked["TARGETID"].nunique()),
        "kappa": float(np.average(kappa, weights=pairs.loc[kappa.index, "TARGETS"]))
        if len(kappa)
        else None,
    }


def _notes(
    reconciled: Reconciled, picks: Picks, check: Check, scored: _Scored, paths: dict[str, str]
) -> list[str]:
    notes = []
    if len(reconciled.conflicts):
        notes.append(
            f"Inspectors disagree on {len(reconciled.conflicts)} targets, which got no label; to "
            f"resolve this, inspect the selection {paths['conflicts']} and run stage=label on the "
            "new labels with label.selection set to this file."
        )
    if check.not_returned:
        notes.append(f"{len(check.not_returned)} targets of the selection have no label yet.")
    if len(check.not_asked):
        notes.append(
            f"{check.not_asked['TARGETID'].nunique()} targets that are not in the selection have "
            "labels, which are not used."
        )
    if scored.pool is None:
        notes.append(
            "The scores of the selection were not found, so it is unknown where its spectra are, "
            "and stage=train cannot use these labels."
        )
    control = picks.targets["CONTROL"]
    if control.any() and picks.targets.loc[control, "POPULATION"].isna().all():
        notes.append(
            "It is unknown how many targets the control picks stand for; set label.population."
        )
    return notes
