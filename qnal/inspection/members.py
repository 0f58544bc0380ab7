"""What each member predicted for a selected spectrum, from the prediction cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from qnal.inference.prediction_cache import PredictionCache
from qnal.inspection.selected import Row
from qnal.scores.dataset import ScoresFolder
from qnal.spectra.spectra_file import SpectraFile


@dataclass(frozen=True)
class MemberVotes:
    """The members' predictions for one spectrum.

    Attributes:
        z: redshift by the most confident line, one per member.
        quasar: whether the member votes quasar.
    """

    z: list[float]
    quasar: list[bool]


def member_votes(
    scores: ScoresFolder, predictions: Path, rows: Sequence[Row]
) -> list[MemberVotes | None]:
    """Votes of the members of a scores dataset.

    Args:
        scores: the dataset that the rows were selected from.
        predictions: folder with prediction caches.
        rows: of the selection.

    Returns:
        One item per row; None where a member's prediction is not cached.
    """
    description = scores.description()
    threshold = np.float32(description.thresholds["line_threshold"])  # as votes are counted
    members = list(dict.fromkeys(description.checksums))
    caches = [PredictionCache(path, "") for path in sorted(predictions.glob("*")) if path.is_dir()]
    tables: dict[str, dict[int, dict[str, tuple[float, float]]]] = {}
    votes: list[MemberVotes | None] = []
    for row in rows:
        name = row["FILE"]
        if name not in tables:
            wanted = [int(r["ROW"]) for r in rows if r["FILE"] == name]
            tables[name] = _of_file(scores, caches, name, set(members), wanted)
        found = tables[name].get(int(row["ROW"]), {})
        if not all(member in found for member in members):
            votes.append(None)
            continue
        z = [round(found[member][1], 4) for member in members]
        votes.append(
            MemberVotes(z, [bool(np.float32(found[member][0]) > threshold) for member in members])
        )
    return votes


def _of_file(
    scores: ScoresFolder,
    caches: Sequence[PredictionCache],
    name: str,
    members: set[str],
    wanted: Sequence[int],
) -> dict[int, dict[str, tuple[float, float]]]:
    """Deciding confidence and best redshift by row and member, from the first complete cache."""
    entry = scores.entry(SpectraFile(name, Path(name)))
    if entry is None:
        return {}
    for cache in caches:
        groups = cache.groups(entry.version.spectra)
        if not members <= {member for group in groups for member in group.members}:
            continue
        found: dict[int, dict[str, tuple[float, float]]] = {row: {} for row in wanted}
        for group in groups:
            columns = ["ROW", "MEMBER_DECIDING", "MEMBER_Z_BEST"]
            table = pq.read_table(group.path, columns=columns, partitioning=None)
            chosen = table.filter(pc.is_in(table["ROW"], pa.array(wanted, pa.int32())))
            for row in chosen.to_pylist():
                deciding, z = row["MEMBER_DECIDING"], row["MEMBER_Z_BEST"]
                if deciding is not None and np.isfinite(z).all():
                    pairs = zip(deciding, z, strict=True)
                    found[row["ROW"]] |= dict(zip(group.members, pairs, strict=True))
        return found
    return {}
