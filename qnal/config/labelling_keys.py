"""Keys of queries, inspection and labels."""

import math
import re
from dataclasses import dataclass
from typing import Any

from qnal.config import plugin
from qnal.config.key import PATHS, Valid, at_least, key
from qnal.query.filters.filter import Filter
from qnal.query.filters.live_cameras import CameraRule
from qnal.query.filters.named import named_filter
from qnal.query.filters.som_occupancy import SomCounts
from qnal.query.redrock_disagreement import Kind
from qnal.query.strategies.strategy import Strategy

SIZE = r"[0-9.]+ ?[KMGT]i?B"


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
