"""Two ensembles on the same pool: what changes in the scores and in the selection."""

from dataclasses import dataclass, replace
from pathlib import Path

from qnal.config.schema import Config, Stage
from qnal.ensemble.folder import EnsembleFolder
from qnal.errors import QnalError
from qnal.scores.changes import PoolChanges, pool_changes
from qnal.scores.dataset import ScoresFolder
from qnal.stages import Job, stage_function
from qnal.summary import Number

WHICH = ("champion", "candidate")
FLIPPED = "flipped_selection.csv"


@dataclass(frozen=True)
class PoolComparison:
    """What two ensembles do on the pool.

    Attributes:
        changes: the differences of their scores.
        scores: the candidate's scores.
        shared_picks: number of targets that the queries of both select; None without them.
        notes: sentences for the user.
    """

    changes: PoolChanges
    scores: Path
    shared_picks: int | None
    notes: list[str]

    def metrics(self) -> dict[str, Number]:
        """Names begin with ``compare_``."""
        return {
            "compare_pool_spectra": self.changes.spectra,
            "compare_pool_changed": self.changes.changed,
            "compare_pool_entropy_change": self.changes.entropy_change,
            "compare_shared_picks": self.shared_picks,
        }


def compare_on_pool(
    config: Config, job: Job, folders: dict[str, EnsembleFolder]
) -> PoolComparison | None:
    """Score the pool with both and select from both; None if that is not wanted."""
    if config.data.pool is None or not config.compare.pool:
        return None
    scores, picks = {}, []
    notes: list[str] = []
    for which, folder in folders.items():
        own = replace(job, folder=job.folder / which, sets_latest=False)
        ensemble = replace(config.ensemble, path=str(folder.path))
        scored = stage_function(Stage.infer)(replace(config, ensemble=ensemble), own)
        scores[which] = ScoresFolder(Path(scored.paths["scores"]))
        # Control picks do not depend on the ensemble.
        query = replace(config.query, scores=scored.paths["scores"], control=0)
        try:
            stage_function(Stage.query)(replace(config, query=query), own)
            picks.append(set((own.folder / "targetid_selection.txt").read_text().split()))
        except QnalError as error:  # such as a utility of 0, if all members agree
            notes.append(
                f"Picks are not compared, since none can be made with the {which}: {error}"
            )
    changes = pool_changes(
        scores["champion"].parts,
        scores["candidate"].parts,
        job.folder / "flipped_pool.csv",
        job.folder / FLIPPED,
    )
    shared = len(picks[0] & picks[1]) if len(picks) == len(WHICH) else None
    return PoolComparison(changes, scores["candidate"].path, shared, notes)
