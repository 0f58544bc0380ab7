"""The configuration's keys: type, valid values and meaning of each.

``conf/`` holds the default values. :mod:`qnal.config.validation` checks a composed configuration
against these classes, and :mod:`qnal.config.reference` writes ``docs/configuration.md`` from them.
"""

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from qnal.config import plugin
from qnal.config.key import Valid, at_least, key, positive
from qnal.ensemble.bootstrap import Bootstrap
from qnal.ensemble.prior import PriorKind
from qnal.ensemble.votes import Thresholds
from qnal.labels.label import BadRows
from qnal.learning.oracle import OracleKind
from qnal.network.backends.forward import Backend
from qnal.network.network import OffsetActivation, Padding
from qnal.network.precision import Precision
from qnal.query.filters.filter import Filter
from qnal.query.filters.live_cameras import CameraRule
from qnal.query.filters.named import named_filter
from qnal.query.filters.som_occupancy import SomCounts
from qnal.query.redrock_disagreement import Kind
from qnal.query.strategies.strategy import Strategy
from qnal.spectra.file_version import Verify
from qnal.spectra.mock.config import MockConfig
from qnal.spectra.readers.reader import Reader

SIZE = r"[0-9.]+ ?[KMGT]i?B"
PATHS = Valid("a path, a glob pattern, or a list of them", lambda v: True)


class Stage(StrEnum):
    """What a job does."""

    train = "train"
    som = "som"
    infer = "infer"
    query = "query"
    inspect = "inspect"
    label = "label"
    mock = "mock"
    loop = "loop"
    compare = "compare"
    pipeline = "pipeline"


class DataKind(StrEnum):
    """Where spectra come from."""

    files = "files"
    mock = "mock"
    desi_release = "desi_release"


class GridName(StrEnum):
    """Wavelength grid of a new network."""

    log = "log"
    linear = "linear"


class SomBackend(StrEnum):
    """Implementation that fits the SOM."""

    qnal = "qnal"
    somviz = "somviz"


class TrackingKind(StrEnum):
    """Where runs are recorded."""

    sqlite = "sqlite"
    server = "server"
    none = "none"


@dataclass
class DesiConfig:
    """Labelled DESI spectra."""

    spectra: Any = key("coadd files, or folders that contain coadds", PATHS)
    truth: Any = key("visual inspection tables, CSV or FITS", PATHS)
    single_exposure: bool = key("train on one random exposure of each target")
    bal_recorded: Any = key(
        "whether quasars without a BAL comment are non-BALs",
        Valid("true, false, or the tables of data.desi.truth for which it is true", lambda v: True),
    )


@dataclass
class BossConfig:
    """Labelled BOSS spectra."""

    spectra: Any = key("the BOSS training file, spec-*.fits files, or folders of them", PATHS)
    truth: Any = key("the DR12 superset catalogue (truth_dr12q.fits)", PATHS)
    most: int = key(
        "largest number of BOSS spectra to use if there are more of them than DESI spectra",
        at_least(1, "a number of spectra"),
    )


@dataclass
class LabelledConfig:
    """Labelled spectra of another survey."""

    spectra: Any = key("files that `reader` reads, or folders of them", PATHS)
    truth: Any = key("visual inspection tables, CSV or FITS", PATHS)


@dataclass
class ReleaseConfig:
    """A DESI data release in its own layout."""

    root: str | None = key("folder of the productions (spectro/redux)")
    production: str = key("name of the production, such as fuji or iron")
    survey: str = key("cmx, sv1, sv2, sv3, special or main")
    program: str = key("dark, bright, backup or other")
    tiles: list[int] | None = key("tiles whose cumulative coadds are read; null for pixels")
    pixels: list[int] | None = key(
        "healpix pixels (nside 64, nested) whose coadds are read; null for all"
    )


@dataclass
class DataConfig:
    """Input spectra."""

    kind: DataKind = key(
        "real files, a DESI release, or the mock survey; set by the choice of `data`"
    )
    desi: DesiConfig = key("labelled DESI spectra")
    boss: BossConfig = key("labelled BOSS spectra")
    labelled: LabelledConfig = key("labelled spectra that `reader` reads")
    pool: Any = key("the unlabelled spectra to score: files that `reader` reads, or folders", PATHS)
    release: ReleaseConfig | None = key(
        "a DESI data release, for data=desi_release, which sets the paths of the pool and of "
        "labelled spectra that are not set; null for other files"
    )
    labels: str | None = key(
        "a label table that stage=label wrote, used beside the other labelled spectra; null for "
        "none"
    )
    redrock: str | None = key(
        "folder of Redrock's results (redrock-*.fits, zbest-*.fits, qso_mgii-*.fits); null for the "
        "folders of the coadds"
    )
    redrock_rerun: str | None = key(
        "folder of the results of Redrock run again with the priors that infer.redrock_priors "
        "writes; null if it was not run again"
    )
    use_mask: bool = key("ignore pixels that the MASK extension flags")
    bad: BadRows = key("what becomes of labels with low confidence (quality below 2.5)")
    mock: MockConfig | None = key("the mock survey; null for real files")


@dataclass
class NetworkConfig:
    """Structure of a new network."""

    layers: int = key("number of convolutional layers", at_least(1))
    filters: int = key("number of filters of a convolutional layer", at_least(1))
    boxes: int = key("number of wavelength boxes of a head", at_least(2))
    padding: Padding = key("padding of convolutions; auto is same from 6 layers on, else valid")
    offset_activation: OffsetActivation = key("activation of the offsets within a box")
    grid: GridName = key("wavelength grid, logarithmic or linear")
    reg_conv: float = key("L2 regularisation of the convolutional layers", at_least(0, "a number"))
    reg_dense: float = key("L2 regularisation of the dense layer", at_least(0, "a number"))
    dropout: float = key(
        "dropout rate", Valid("a number from 0 up to 0.99", lambda v: 0 <= v <= 0.99)
    )


@dataclass
class LinesConfig:
    """Emission lines that a network detects, with one head per line."""

    names: list[str] = key(
        "emission lines, in QuasarNP's names", Valid("at least one line", lambda v: len(v) >= 1)
    )
    bal: list[str] = key(
        "lines with a head for broad absorption",
        Valid("one BAL line or none", lambda v: len(v) <= 1),
    )


@dataclass
class TrainConfig:
    """Training of a member."""

    epochs: int = key("number of epochs", at_least(1))
    min_steps: int = key(
        "smallest number of training steps; raises the number of epochs for small label sets, and "
        "0 is the reference's behaviour",
        at_least(0),
    )
    batch_size: int = key("spectra per training step", at_least(2))
    learning_rate: float = key("learning rate of Adam", positive())
    amsgrad: bool = key("use the AMSGrad variant of Adam")
    precision: Precision = key(
        "precision of the convolutions; auto is bfloat16 where the processor or GPU supports it"
    )
    threads: int = key("threads per worker; the exact weights depend on their number", at_least(1))
    where: str | None = key(
        "train only on spectra that satisfy this condition in SQL on their target columns "
        "(docs/conditions.md); null for all"
    )
    targets: Any = key(
        "train only on spectra of the targets on these lists of TARGETIDs; null for all", PATHS
    )
    group: int | None = key(
        "members trained together in one program",
        at_least(1, "a number of members").or_null("the best for the machine"),
    )
    prior: PriorKind = key(
        "how spectra of the built-in mock survey are used in training: not at all, mixed into each "
        "epoch, or to train a network that training on the labelled spectra then starts from"
    )
    prior_spectra: int = key(
        "number of mock spectra that are made for the prior", at_least(2, "a number of spectra")
    )
    prior_weight: int = key(
        "number of mock spectra in each epoch with train.prior=mix, drawn anew for each; the prior "
        "counts like this many labelled spectra, so its share falls as the number of labels grows",
        at_least(1, "a number of spectra"),
    )
    init: str | None = key(
        "ensemble that training starts from, member k from its member k: a folder, an MLflow URI, "
        "or latest; null for new weights"
    )


@dataclass
class EnsembleConfig:
    """The ensemble, and when its members call a spectrum a quasar."""

    n: int = key("number of members", at_least(1, "a number of members"))
    path: str | None = key("the ensemble to use; null for the latest one in work_dir")
    bootstrap: Bootstrap = key(
        "what is drawn with replacement: targets with all their exposures, or rows"
    )
    line_threshold: float = key(
        "confidence above which a line counts as detected",
        Valid("a confidence from 0 up to, not including, 1", lambda v: 0 <= v < 1),
    )
    min_lines: int = key(
        "number of detected lines that makes a spectrum a quasar",
        at_least(1, "a number of lines"),
    )
    high_z: float = key(
        "quasars at this redshift or above are in class QSO_HZ",
        Valid("a redshift", lambda v: -1 < v < math.inf),
    )
    calibrate: bool = key(
        "apply the calibration that was fitted out of bag to the soft probabilities; votes are "
        "never calibrated"
    )

    def thresholds(self) -> Thresholds:
        """When a member votes quasar."""
        return Thresholds(self.line_threshold, self.min_lines, self.high_z)


@dataclass
class SomConfig:
    """The self-organizing map (SOM), used to reject outliers."""

    backend: SomBackend = key("implementation that fits the SOM")
    shape: list[int] = key(
        "rows and columns of cells",
        Valid(
            "two whole numbers, rows and columns, such as [45,45]",
            lambda v: len(v) == 2 and min(v) >= 1 and math.prod(v) >= 2,
        ),
    )
    wrap: bool = key("whether both axes wrap around (a torus)")
    epochs: int = key("passes over the sample", at_least(1))
    sample: int = key(
        "number of spectra that the SOM is fitted to, drawn at random with the seed",
        at_least(2, "a number of spectra"),
    )
    spectra: Any = key("spectra that the SOM is fitted to; null for data.pool", PATHS)
    where: str | None = key(
        "fit only to spectra that satisfy this condition in SQL on their target columns "
        "(docs/conditions.md); null for all"
    )
    targets: Any = key(
        "fit only to spectra of the targets on these lists of TARGETIDs; null for all", PATHS
    )
    path: str | None = key(
        "a fitted SOM, written by qnal or SOMVIZ; null for the latest one in work_dir"
    )


@dataclass
class InferConfig:
    """Scoring of a pool."""

    backend: Backend = key("implementation of the forward pass")
    precision: Precision = key(
        "precision of the forward pass; auto is bfloat16 where the processor supports it, and "
        "votes that rounding could change are recomputed in float32"
    )
    batch_size: int = key(
        "spectra per forward pass; limits memory", at_least(1, "a number of spectra")
    )
    threads: int = key("threads per worker", at_least(1))
    limit: int | None = key(
        "score only this many files", at_least(1, "a number of files").or_null("all")
    )
    random_order: bool = key("score files in random order")
    where: str | None = key(
        "score only spectra that satisfy this condition in SQL on their target columns "
        "(docs/conditions.md); null for all"
    )
    targets: Any = key(
        "score only spectra of the targets on these lists of TARGETIDs; null for all", PATHS
    )
    strict: bool = key("stop at the first file that cannot be read")
    sky: bool = key("score sky fibres")
    keep_members: bool = key(
        "cache each member's predictions, so that other thresholds or another number of members "
        "need no forward pass that was already made"
    )
    verify: Verify = key(
        "when an input file counts as unchanged: same size and time (stat), or same content"
    )
    csv: bool = key("also write _scores.csv, the table of the reference")
    qso_qn: bool = key(
        "also write a qso_qn-*.fits table per coadd, as DESI's pipeline does, if Redrock's "
        "results and those of all re-runs that it needs exist"
    )
    redrock_priors: Any = key(
        "also write a PRIORS file per coadd, for the targets that DESI would run Redrock on again "
        "(true) or for all quasars (all)",
        Valid("true, false or all", lambda v: isinstance(v, bool) or v == "all"),
    )
    redshifts: bool = key(
        "draw the figures on redshifts also without results of Redrock: pile-ups, and sky "
        "fibres called quasars"
    )
    qn_confidence: float = key(
        "mean line confidence above which a spectrum is a quasar in qso_qn tables and priors",
        Valid("a confidence from 0 up to 0.99", lambda v: 0 <= v <= 0.99),
    )


@dataclass
class QueryConfig:
    """Selection of the spectra to inspect."""

    scores: str | None = key("a scores dataset or table; null for the latest one in work_dir")
    strategy: dict[str, Any] = key(
        "utility by which targets are ranked, set by the choice of `query`: `_target_`, a subclass "
        "of qnal.query.strategies.strategy.Strategy, and its arguments"
    )
    n: int = key("number of targets to select", at_least(1, "a number of targets"))
    control: int = key(
        "number of control picks: further targets, drawn uniformly over all that could be "
        "labelled, whose labels measure the pool without bias",
        at_least(0, "a number of targets"),
    )
    som_percentile: float | None = key(
        "reject spectra in SOM cells whose number of spectra is at most this percentile",
        Valid("a percentile from 0 up to, not including, 100", lambda v: 0 <= v < 100).or_null(
            "no such filter"
        ),
    )
    som_counts: SomCounts = key(
        "cells over which the percentile is taken: all, or those up to the last occupied one, as "
        "in the reference's notebook"
    )
    max_outlier: float | None = key(
        "reject spectra that are further from their SOM cell than this",
        Valid("a number of standard deviations", math.isfinite).or_null("no such filter"),
    )
    redrock: list[Kind] = key(
        "reject spectra without one of these kinds of disagreement with Redrock (docs/redrock.md); "
        "[] for no such filter"
    )
    camera: CameraRule = key(
        "reject targets with a dead camera in all of their spectra, in any, or none"
    )
    bad_cameras: Any = key("lists of TARGETIDs to reject for a dead camera", PATHS)
    exclude: Any = key("lists of TARGETIDs to leave out, such as other campaigns' targets", PATHS)
    labels: str | None = key(
        "label table whose targets are left out; null for the latest one in work_dir, if there is "
        "one"
    )
    filters: Any = key(
        "the filters in order, each a name (docs/query.md) or `_target_` and its arguments; null "
        "for those that the keys som_percentile to exclude describe",
        Valid(
            "a list of names and of mappings with `_target_`, or null",
            lambda v: (
                v is None
                or (
                    isinstance(v, list)
                    and all(
                        isinstance(f, str) or (isinstance(f, dict) and "_target_" in f) for f in v
                    )
                )
            ),
        ),
    )
    memory_limit: str = key(
        "memory of the query engine (DuckDB); larger intermediate results go to query.temp_dir",
        Valid("a size such as 4GB or 500MB", lambda v: bool(re.fullmatch(SIZE, v.strip(), re.I))),
    )
    temp_dir: str | None = key(
        "folder for intermediate results; null for the system's temporary folder"
    )

    def created_filters(self) -> list[Filter] | None:
        """The filters of ``filters``; ConfigError if one does not exist or refuses its settings."""
        if self.filters is None:
            return None
        return [named_filter(given, f"query.filters[{i}]") for i, given in enumerate(self.filters)]

    def created_strategy(self) -> Strategy:
        """The strategy; ConfigError if ``strategy`` does not name one or its settings are wrong."""
        return plugin.create(self.strategy, "query.strategy", Strategy)  # type: ignore[type-abstract]


@dataclass
class LoopConfig:
    """The closed loop, simulated on a labelled set."""

    rounds: int = key("number of batches that are inspected after the seed labels", at_least(1))
    seed_labels: int = key(
        "number of targets that are labelled at the start, drawn at random",
        at_least(2, "a number of targets"),
    )
    batch: int = key("targets inspected in the first round", at_least(1, "a number of targets"))
    growth: float = key(
        "factor by which each batch is larger than the one before; 1 for equal batches, 2 for "
        "budgets that double if loop.batch equals loop.seed_labels",
        at_least(1, "a number"),
    )
    strategies: list[str] = key(
        "choices of `query` to compare; random and stratified are always among them",
        Valid("names of strategies, each once", lambda v: len(set(v)) == len(v)),
    )
    repeats: int = key(
        "number of repeats; in a repeat all strategies start from the same labels and members",
        at_least(1),
    )
    oracle: OracleKind = key(
        "the simulated inspector: always right, or with wrong or missing classes that are more "
        "frequent at low signal-to-noise"
    )
    test: float = key(
        "share of the targets that are held out in all rounds",
        Valid("a share above 0 and below 1", lambda v: 0 < v < 1),
    )
    steps: int | None = key(
        "optimizer steps of a member at every number of labels, completed to whole epochs",
        at_least(1).or_null("the epochs and steps of stage=train"),
    )
    warm_start: bool = key(
        "whether the members of a round continue from those of the round before, for loop.steps "
        "further optimizer steps, instead of from new weights; the networks of all rounds are kept"
    )
    priors: list[PriorKind] = key(
        "choices of train.prior to compare, each with all strategies and the same seed labels; [] "
        "for train.prior alone. The first is the baseline",
        Valid("different choices of train.prior", lambda v: len(set(v)) == len(v)),
    )


@dataclass
class InspectConfig:
    """The inspection page."""

    selection: str | None = key(
        "the selection to inspect, CSV or Parquet; null for the latest one in work_dir"
    )
    blind: bool = key("leave out the results of the ensemble and Redrock")
    per_page: int = key(
        "largest number of spectra in one file; more are split into several",
        at_least(1, "a number of spectra"),
    )
    title: str | None = key(
        "name of the campaign, which becomes part of the name of the CSV of labels",
        Valid(
            "letters, digits, dots and hyphens", lambda v: bool(re.fullmatch(r"[A-Za-z0-9.-]+", v))
        ).or_null("one made from the selection's fingerprint"),
    )


@dataclass
class LabelConfig:
    """Labels that inspectors returned."""

    tables: Any = key("tables that inspectors returned, CSV or FITS", PATHS)
    selection: str | None = key(
        "the selection that the inspectors were given; null for the latest one in work_dir"
    )
    path: str | None = key("the label table to extend; null for labels/labels.parquet in work_dir")
    bal_recorded: bool = key(
        "whether inspectors noted every BAL, so that quasars without a BAL comment are non-BALs"
    )
    population: int | None = key(
        "number of targets that the control picks stand for, if neither the selection nor the "
        "summary of its query has it",
        at_least(1, "a number of targets").or_null("unknown"),
    )


@dataclass
class CompareConfig:
    """Comparison of two ensembles."""

    candidate: str | None = key(
        "the new ensemble: a folder, an MLflow URI, or latest; null for the newest one"
    )
    champion: str | None = key("the ensemble that it is compared with, in the same ways")
    draws: int = key("bootstrap samples for the intervals", at_least(1, "a number of samples"))
    pool: bool = key("also score data.pool with both, if it is set")
    promote: bool = key(
        "make the candidate the champion of the model registry, unless the verdict is that it "
        "is worse"
    )


@dataclass
class TrackingConfig:
    """Recording of runs in MLflow."""

    kind: TrackingKind = key("which store; set by the choice of `tracking`")
    uri: str | None = key("tracking URI; null for MLFLOW_TRACKING_URI or a database in work_dir")
    experiment: str | None = key(
        "name of the MLflow experiment; null for MLFLOW_EXPERIMENT_NAME or qnal"
    )


@dataclass
class Config:
    """All keys of a job."""

    stage: Stage | None = key("what the job does")
    seed: int = key("seed of all random numbers", at_least(0))
    work_dir: str = key(
        "folder of all results: ensembles, SOMs, scores, runs and the MLflow store",
        Valid("the path of a folder", lambda v: v.strip() != ""),
    )
    objective: str | None = key(
        "metric of summary.json that a job returns to a Hydra sweeper, such as oob_completeness; "
        "with a minus sign in front, its negative",
        Valid("the name of a metric", lambda v: bool(re.fullmatch(r"[+-]?\w+", v))).or_null("none"),
    )
    traceback: bool = key("print a traceback when a job is refused")
    data: DataConfig = key("input spectra")
    reader: dict[str, Any] = key(
        "how the pool is read, set by the choice of `reader`: `_target_`, a subclass of "
        "qnal.spectra.readers.reader.Reader, and its arguments"
    )
    network: NetworkConfig = key("structure of new networks")
    lines: LinesConfig = key("emission lines that a network detects")
    train: TrainConfig = key("training of members")
    ensemble: EnsembleConfig = key("the ensemble and its votes")
    som: SomConfig = key("the self-organizing map (SOM)")
    infer: InferConfig = key("scoring of a pool")
    query: QueryConfig = key("selection of spectra to inspect")
    loop: LoopConfig = key("the closed loop, simulated on the labelled set")
    inspect: InspectConfig = key("the inspection page")
    label: LabelConfig = key("labels that inspectors returned")
    compare: CompareConfig = key("comparison of two ensembles")
    executor: dict[str, Any] = key(
        "where members are trained and files scored: `_target_`, a concurrent.futures.Executor, "
        "and its arguments"
    )
    tracking: TrackingConfig = key("recording of runs in MLflow")

    def created_reader(self, named: dict[str, Any] | None = None) -> Reader:
        """The reader; ConfigError if ``reader`` does not name one or its settings are wrong.

        Args:
            named: the reader that made a dataset, instead of ``reader``.
        """
        defaults, node = {"use_mask": self.data.use_mask}, named or self.reader
        reader: Reader = plugin.create(node, "reader", Reader, defaults)  # type: ignore[type-abstract]
        reader.check()
        return reader

    @property
    def work(self) -> Path:
        """The work folder, absolute."""
        return Path(self.work_dir).expanduser().absolute()
