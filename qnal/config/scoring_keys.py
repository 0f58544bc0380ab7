"""Keys of SOMs and of scoring."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from qnal.config.key import PATHS, Valid, at_least, key
from qnal.network.backends.forward import Backend
from qnal.network.precision import Precision
from qnal.spectra.file_version import Verify


class SomBackend(StrEnum):
    """Implementation that fits the SOM."""

    qnal = "qnal"
    somviz = "somviz"


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
