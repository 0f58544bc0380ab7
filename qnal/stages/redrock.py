"""What stage=infer does with Redrock's results: join them to the scores."""

from pathlib import Path

from qnal.config.schema import Config
from qnal.errors import ConfigError
from qnal.inference.score_pool import PoolOutcome
from qnal.inference.score_task import ScoreTask
from qnal.scores.redrock_join import JoinOutcome, join_redrock
from qnal.spectra.redrock import RedrockFinder
from qnal.spectra.spectra_file import SpectraFile


def joined_with_redrock(
    config: Config, task: ScoreTask, files: list[SpectraFile], outcome: PoolOutcome
) -> JoinOutcome:
    """Join Redrock's results to the parts; the entries of ``outcome`` are updated.

    Args:
        config: ``data.redrock`` says where they are.
        task: whose outputs are joined, locked.
        files: of the whole pool.
        outcome: of scoring it.
    """
    finder = RedrockFinder(_folder(config.data.redrock, "data.redrock"))
    joined = join_redrock(task.outputs.scores, files, outcome.entries, finder)
    if joined.entries != outcome.entries:
        outcome.entries = joined.entries
        task.outputs.scores.write_index(outcome.entries)
    return joined


def _folder(value: str | None, key: str) -> Path | None:
    if value is None:
        return None
    path = Path(value).expanduser().absolute()
    if not path.is_dir():
        raise ConfigError(f"{key}={value}: there is no such folder.")
    return path
