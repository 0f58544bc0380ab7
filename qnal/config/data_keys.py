"""Keys of the input spectra and labels."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from qnal.config.key import PATHS, Valid, at_least, key
from qnal.labels.label import BadRows
from qnal.spectra.mock.config import MockConfig


class DataKind(StrEnum):
    """Where spectra come from."""

    files = "files"
    mock = "mock"
    desi_release = "desi_release"


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
