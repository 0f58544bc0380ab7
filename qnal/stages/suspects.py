"""Labels that are probably wrong, as a selection for ``stage=inspect``."""

import os
from pathlib import Path

from qnal.config.schema import Config
from qnal.ensemble.evaluation.report import Report
from qnal.ensemble.evaluation.suspected_selection import BOSS, suspected_selection
from qnal.ensemble.inspected_set import SOURCE as INSPECTED
from qnal.files import written_aside
from qnal.scores.description import relative_path
from qnal.spectra.spectra_file import common_folder, paths_of
from qnal.stages.inputs import label_table
from qnal.summary import Summary

NAME = "suspected_selection.csv"


def write_suspects(config: Config, report: Report, folder: Path, summary: Summary) -> None:
    """Write the suspected labels of DESI spectra as a selection, and name it in the summary.

    Labelled spectra may come from several folders, so FILE is relative to the work folder, or
    absolute if the file lies outside of it.
    """
    suspected = report.tables["suspected_labels.csv"]
    spectra = report.tables["oob_predictions.csv"]
    folders = _Folders(config)
    table = suspected_selection(suspected, spectra, folders.path)
    summary.metrics["suspected_labels"] = int(suspected["SUSPECTED"].sum())
    if not len(table):
        return
    with written_aside(folder / NAME) as scratch:
        table.to_csv(scratch, index=False)
    summary.paths["suspected"] = str(folder / NAME)
    others = int((suspected["SUSPECTED"] & (suspected["SOURCE"] == BOSS)).sum())
    summary.notes.append(
        f"The labels of {len(table)} targets are probably wrong; to inspect these targets again: "
        f"stage=inspect inspect.selection={folder / NAME}"
        + (f" ({others} more are in BOSS spectra, which the page cannot show)." if others else ".")
    )


class _Folders:
    """Where the labelled spectra of each source are."""

    def __init__(self, config: Config) -> None:
        self.work = Path(os.path.normpath(config.work))
        spectra, labels = config.data.desi.spectra, label_table(config)
        paths = [] if spectra is None else paths_of(spectra, "data.desi.spectra")
        self.desi = common_folder(paths) if paths else Path()
        self.pools: dict[int, Path] = {}
        if labels is not None:
            current = labels.current()
            folders = [labels.path.parent / str(pool) for pool in current["POOL"]]
            self.pools = dict(zip(current["TARGETID"].tolist(), folders, strict=True))

    def path(self, source: str, targetid: int, file: str) -> str:
        """The file of a spectrum, relative to the work folder if it lies inside."""
        folder = self.pools[targetid] if source == INSPECTED else self.desi
        # Not resolved: the work folder may be named through a link.
        return relative_path(os.path.normpath(folder / file), self.work)
