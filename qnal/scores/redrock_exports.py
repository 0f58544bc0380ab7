"""Tables for DESI's pipeline that need Redrock's results: QN_RR tables and priors, per coadd.

They are written anew on each request, so that none is left of earlier scores or results.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from qnal.errors import InputError
from qnal.scores.dataset import ScoresFolder
from qnal.scores.qso_qn import QsoQn
from qnal.scores.redrock_join import Joined
from qnal.scores.redrock_priors import write_priors
from qnal.spectra.fits import open_fits
from qnal.spectra.readers.desi.fibermap import targeting_column
from qnal.spectra.redrock import RedrockFiles, RedrockFinder, read_redrock
from qnal.spectra.spectra_file import SpectraFile


class Priors(StrEnum):
    """For which targets priors are written."""

    none = "none"
    rerun = "rerun"  # quasars that Redrock has not confirmed
    all = "all"  # all quasars


@dataclass
class Exported:
    """What was written.

    Attributes:
        tables: number of files.
        rows: number of their rows.
        without: why there is no file, by the name of the coadd.
    """

    tables: int = 0
    rows: int = 0
    without: dict[str, str] = field(default_factory=dict)

    def note(self, what: str, consequence: str) -> list[str]:
        """A sentence that counts the coadds without a file and names some of them."""
        if not self.without:
            return []
        first = [f"{name} ({why})" for name, why in sorted(self.without.items())[:3]]
        more = f"; and {len(self.without) - 3:,} more" if len(self.without) > 3 else ""
        return [
            f"No {what} for {len(self.without):,} of {len(self.without) + self.tables:,} coadds, "
            f"{consequence}: {'; '.join(first)}{more}."
        ]


def write_qso_qn_tables(
    scores: ScoresFolder,
    files: Sequence[SpectraFile],
    joined: Mapping[str, Joined],
    redrock: Mapping[str, RedrockFiles],
    reruns: RedrockFinder | None,
    how: QsoQn,
) -> Exported:
    """Write the QN_RR tables of the coadds for which all of Redrock's results are there.

    Args:
        scores: the dataset, locked.
        files: those with a part.
        joined, redrock: Redrock's results by the name of the file.
        reruns: finds the results of re-runs; None: there are none.
        how: the tables are made.
    """
    done = Exported()
    for file in files:
        path = scores.qso_qn(file)
        path.unlink(missing_ok=True)
        try:
            _check_joined(joined.get(file.name))
            again = None if reruns is None else reruns.find(file)
            with open_fits(file.path) as fits:
                column = targeting_column(fits)
            first = read_redrock(redrock[file.name])
            second = None if again is None or again.results is None else read_redrock(again)
            how.write(path, scores.read_part(file), first, second, column)
        except InputError as error:
            done.without[file.name] = str(error).rstrip(".")
            continue
        done.tables, done.rows = done.tables + 1, done.rows + len(first)
    return done


def write_prior_files(
    scores: ScoresFolder,
    files: Sequence[SpectraFile],
    joined: Mapping[str, Joined],
    which: Priors,
    how: QsoQn,
) -> Exported:
    """Write priors for re-runs; a coadd without such targets has none, and is not counted."""
    done = Exported()
    for file in files:
        path = scores.priors(file)
        path.unlink(missing_ok=True)
        part = scores.read_part(file)
        rows = how.rule.is_quasar(part)
        if which is Priors.rerun:
            try:
                _check_joined(joined.get(file.name))
            except InputError as error:
                done.without[file.name] = str(error).rstrip(".")
                continue
            z = part["Z_RR"].to_numpy().astype(float)
            spectype = np.asarray(part["SPECTYPE_RR"].fill_null("").to_numpy(), np.str_)
            # Redrock's re-run is of targets that it was run on.
            known = np.asarray(part["ZWARN_RR"].is_valid())
            rows = known & how.rule.is_needed(part, z, spectype)
        written = write_priors(path, part, rows, how.rule, which is Priors.all)
        done.tables, done.rows = done.tables + (written > 0), done.rows + written
    return done


def _check_joined(joined: Joined | None) -> None:
    if joined is None or not joined.redrock:
        raise InputError((joined and joined.refused) or "no results of Redrock")
    if joined.refused is not None:
        raise InputError(joined.refused)
