"""Targets that were observed with all cameras."""

from enum import StrEnum

from qnal.errors import ConfigError
from qnal.query.candidates import Candidates
from qnal.query.filters.filter import Filter
from qnal.query.score_table import ScoreTable
from qnal.spectra.target_table import arms_of


class CameraRule(StrEnum):
    """Which targets are dropped because of dead cameras."""

    all = "all"  # targets with a camera that is dead in all of their spectra
    any = "any"  # targets with a camera that is dead in any of their spectra
    none = "none"  # no targets


class LiveCameras(Filter):
    """Drop targets with a dead camera; spectra whose CAMERAS is null count as complete.

    Args:
        rule: whether a camera has to be dead in ``all`` or ``any`` of a target's spectra.
    """

    name = "all cameras alive"
    columns = ("CAMERAS",)
    interesting = True
    whole_targets = True

    def __init__(self, rule: CameraRule = CameraRule.all) -> None:
        if rule not in (CameraRule.all, CameraRule.any):
            raise ConfigError(f"rule={rule} cannot be used; it takes all or any")
        self.rule = rule

    def keep(self, candidates: Candidates) -> str:
        """See :meth:`Filter.keep`."""
        every = all_arms(candidates.table)
        incomplete = f"& {every} <> {every}"
        dead = f"SELECT TARGETID FROM spectra WHERE CAMERAS {incomplete}"
        if self.rule == CameraRule.all:
            dead = (
                f"FROM ({dead} GROUP BY TARGETID HAVING bit_or(CAMERAS) {incomplete}) "
                f"ANTI JOIN (FROM spectra WHERE CAMERAS & {every} = {every}) "
                "USING (TARGETID)"
            )
        dead = candidates.table.stored(dead)
        return f"FROM {candidates.rows} WHERE TARGETID NOT IN (FROM {dead})"


def all_arms(table: ScoreTable) -> int:
    """The value of CAMERAS of a spectrum in which all arms have data.

    A table without a column SNR_ARM for each arm has the arms that have data in any spectrum.
    """
    announced = (1 << len(arms_of([*table.columns]))) - 1
    return announced | int(table.value("SELECT bit_or(CAMERAS) FROM spectra") or 0)
