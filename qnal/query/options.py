"""The settings of a query."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qnal.errors import ConfigError
from qnal.query.filters.best_spectrum import BestSpectrum
from qnal.query.filters.filter import Filter
from qnal.query.filters.live_cameras import CameraRule, LiveCameras
from qnal.query.filters.not_labelled import NotLabelled
from qnal.query.filters.not_listed import NotListed
from qnal.query.filters.redrock import DisagreesWithRedrock
from qnal.query.filters.science_targets import ScienceTargets
from qnal.query.filters.som_occupancy import SomCounts, SomOccupancy
from qnal.query.filters.som_outliers import SomOutliers
from qnal.query.filters.usable import Usable
from qnal.query.redrock_disagreement import Kind
from qnal.query.strategies.strategy import Strategy
from qnal.query.strategies.vote_entropy import VoteEntropy
from qnal.query.target_list import read_target_lists


@dataclass(frozen=True)
class QueryOptions:
    """What a query selects.

    Attributes:
        n: number of targets to select.
        strategy: the utility to rank by.
        control: number of control picks besides, drawn uniformly over all targets that could be
            labelled (:mod:`qnal.query.control`).
        seed: seed of control picks and of strategies that draw.
        som_percentile: drop spectra whose SOM cell holds at most this percentile of the cells'
            occupancies, 0 ≤ percentile < 100; None keeps them.
        som_counts: the cells over which the percentile is taken.
        max_outlier: drop spectra with an outlier score above this limit; None keeps them.
        camera: which targets to drop because of dead cameras.
        exclude: files of TARGETIDs not to select.
        bad_cameras: files of TARGETIDs known to have a dead camera.
        redrock: keep only spectra with one of these kinds of disagreement with Redrock; empty keeps
            all.
        keep_sky: whether sky fibres may be selected.
        labels: label table, or folder of one, whose targets are left out.
        steps: the filters in order, in place of those that the options above describe, except for
            ``labels``; without one that leaves one spectrum per target, the most uncertain
            spectrum of each is taken at the end.
        distributions: whether to count how the pool is distributed, for the figures.
        memory_limit: memory that DuckDB may use, such as ``4GB``.
        temp_dir: folder for intermediate results that exceed ``memory_limit``; None is the
            system's temporary folder.

    Raises:
        ConfigError: a value is out of bounds.
    """

    n: int
    strategy: Strategy = field(default_factory=VoteEntropy)
    control: int = 0
    seed: int = 91701
    som_percentile: float | None = 15.0
    som_counts: SomCounts = SomCounts.all
    max_outlier: float | None = None
    camera: CameraRule = CameraRule.all
    exclude: Sequence[Path] = ()
    bad_cameras: Sequence[Path] = ()
    redrock: Sequence[Kind] = ()
    keep_sky: bool = False
    labels: Path | None = None
    steps: Sequence[Filter] | None = None
    distributions: bool = False
    memory_limit: str = "3GB"
    temp_dir: Path | None = None

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"n={self.n} cannot be used; it takes a number of targets from 1 on.")
        if self.control < 0:
            raise ConfigError(
                f"control={self.control} cannot be used; it takes a number of targets from 0 on."
            )
        if self.som_percentile is not None and not 0 <= self.som_percentile < 100:
            raise ConfigError(
                f"som_percentile={self.som_percentile} cannot be used; it takes a percentile from "
                "0 up to, not including, 100."
            )
        if self.max_outlier is not None and not math.isfinite(self.max_outlier):
            raise ConfigError(
                f"max_outlier={self.max_outlier} cannot be used; it takes a finite number of "
                "standard deviations."
            )
        for name, valid in (("som_counts", list(SomCounts)), ("camera", list(CameraRule))):
            if (value := getattr(self, name)) not in valid:
                raise ConfigError(f"{name}={value} cannot be used; it takes {', '.join(valid)}.")

    def filters(self, cells: int | None) -> list[Filter]:
        """The steps of the query, in order.

        Args:
            cells: number of cells of the SOM that the BMUs refer to.

        Raises:
            InputError: a list of TARGETIDs cannot be read.
        """
        labelled: list[Filter] = [] if self.labels is None else [NotLabelled(str(self.labels))]
        filters: list[Filter]
        if self.steps is not None:
            filters = [*self.steps]
            if not any(isinstance(step, NotLabelled) for step in filters):
                filters += labelled
            if not any(isinstance(step, Usable) for step in filters):
                filters.insert(0, Usable())  # no utility, no ranking
            if not any(step.per_target for step in filters):
                filters.append(BestSpectrum())
            return filters
        filters = [Usable()]
        if self.som_percentile is not None:
            filters.append(SomOccupancy(self.som_percentile, self.som_counts, cells))
        if self.max_outlier is not None:
            filters.append(SomOutliers(self.max_outlier))
        if not self.keep_sky:
            filters.append(ScienceTargets())
        if self.redrock:
            filters.append(DisagreesWithRedrock(self.redrock))
        filters.append(BestSpectrum())
        if self.camera != CameraRule.none:
            filters.append(LiveCameras(self.camera))
        if self.bad_cameras:
            filters.append(
                NotListed(read_target_lists(self.bad_cameras), "no listed bad camera", True)
            )
        if self.exclude:
            filters.append(NotListed(read_target_lists(self.exclude)))
        return filters + labelled
