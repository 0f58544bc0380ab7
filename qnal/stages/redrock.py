"""What stage=infer does with Redrock's results: it joins them to the scores and makes tables."""

from dataclasses import dataclass, field
from pathlib import Path

from qnal.config.schema import Config
from qnal.errors import ConfigError
from qnal.files import written_aside
from qnal.inference.score_pool import PoolOutcome
from qnal.inference.score_task import ScoreTask
from qnal.scores.qso_qn import QsoQn
from qnal.scores.redrock_exports import Priors, write_prior_files, write_qso_qn_tables
from qnal.scores.redrock_join import JoinOutcome, join_redrock
from qnal.scores.redshift_counts import redshift_counts
from qnal.scores.redshift_report import redshift_pages, redshift_tables
from qnal.scores.rerun import RerunRule, prior_scale
from qnal.spectra.redrock import RedrockFinder
from qnal.spectra.spectra_file import SpectraFile
from qnal.stages import Job
from qnal.summary import Number
from qnal.tracking import Run


@dataclass
class RedrockExports:
    """Tables that were written, for the summary."""

    paths: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Number] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


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


def redrock_exports(
    config: Config, task: ScoreTask, files: list[SpectraFile], joined: JoinOutcome
) -> RedrockExports:
    """Write the QN_RR tables and priors that the configuration asks for."""
    exports, scores = RedrockExports(), task.outputs.scores
    which = _priors(config.infer.redrock_priors)
    if which is Priors.none and not config.infer.qso_qn:
        return exports
    scored = [file for file in files if file.name in joined.entries]
    how = QsoQn(_rule(config, task), task.rule.thresholds, len(task.weights.files))
    if config.infer.qso_qn:
        folder = _folder(config.data.redrock_rerun, "data.redrock_rerun")
        reruns = None if folder is None else RedrockFinder(folder)
        done = write_qso_qn_tables(scores, scored, joined.joined, joined.files, reruns, how)
        exports.paths["qso_qn"] = str(scores.path / "_qso_qn")
        exports.metrics |= {"qso_qn_tables": done.tables, "qso_qn_without": len(done.without)}
        exports.notes += done.note(
            "qso_qn table", "whose quasars DESI's catalogue would list with wrong redshifts"
        )
    if which is not Priors.none:
        done = write_prior_files(scores, scored, joined.joined, which, how)
        exports.paths["redrock_priors"] = str(scores.path / "_redrock_priors")
        exports.metrics |= {"priors_files": done.tables, "priors_targets": done.rows}
        exports.metrics["priors_without"] = len(done.without)
        exports.notes += done.note("priors", "where targets to run again are not known")
    return exports


def record_redshifts(
    config: Config, job: Job, run: Run, task: ScoreTask, joined: JoinOutcome
) -> None:
    """Record the figures on redshifts: pile-ups, sky fibres called quasars, Redrock."""
    if not joined.joined and not config.infer.redshifts:
        return
    lines = task.packing.lines
    counts = redshift_counts(task.outputs.scores, joined.entries, bool(joined.joined))
    for name, table in redshift_tables(counts, lines).items():
        with written_aside(job.folder / name) as scratch:
            table.to_csv(scratch, index=False)
        run.file(job.folder / name, "tables")
    for file, figure in redshift_pages(counts, lines, _rule(config, task).scale):
        run.figure(figure, job.folder / file)


def _rule(config: Config, task: ScoreTask) -> RerunRule:
    first = task.weights.networks()[0]
    scale = prior_scale(first.grid, first.boxes)
    return RerunRule(task.packing.lines, scale, config.infer.qn_confidence)


def _priors(value: bool | str) -> Priors:
    if isinstance(value, str):
        return Priors(value)
    return Priors.rerun if value else Priors.none


def _folder(value: str | None, key: str) -> Path | None:
    if value is None:
        return None
    path = Path(value).expanduser().absolute()
    if not path.is_dir():
        raise ConfigError(f"{key}={value}: there is no such folder.")
    return path
