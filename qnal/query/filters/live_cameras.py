"""Targets that were observed with all cameras."""

from enum import StrEnum

from qnal.errors import ConfigError
from qnal.query.candidates import Candidates
from qnal.query.filters.filter import Filter

ALL_CAMERAS = 7  # bits of CAMERAS: B 1, R 2, Z 4


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
        incomplete = f"& {ALL_CAMERAS} <> {ALL_CAMERAS}"
        dead = f"SELECT TARGETID FROM spectra WHERE CAMERAS {incomplete}"
        if self.rule == CameraRule.all:
            dead = (
                f"FROM ({dead} GROUP BY TARGETID HAVING bit_or(CAMERAS) {incomplete}) "
                f"ANTI JOIN (FROM spectra WHERE CAMERAS & {ALL_CAMERAS} = {ALL_CAMERAS}) "
                "USING (TARGETID)"
            )
        dead = candidates.table.stored(dead)
        return f"FROM {candidates.rows} WHERE TARGETID NOT IN (FROM {dead})"
