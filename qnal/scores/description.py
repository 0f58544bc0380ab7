"""What a scores dataset is: the content of ``_dataset.json``."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FORMAT_VERSION = 2  # bump this number when a column changes its meaning or type, or goes


@dataclass(frozen=True)
class SomReference:
    """The SOM that BMUs are of.

    Attributes:
        fingerprint: of the SOM.
        cells: how many cells it has.
    """

    fingerprint: str
    cells: int


@dataclass(frozen=True)
class DatasetDescription:
    """Content of ``_dataset.json``, in which paths inside the work folder are relative to it.

    Attributes:
        ensemble: path of the ensemble.
        checksums: SHA-256 of the weight file of each member.
        thresholds: line_threshold, min_lines and high_z.
        calibration: parameters of the calibration that was applied, if any.
        grid: name of the wavelength grid.
        pool: paths of the pool.
        files: how many files the pool has.
        som: the SOM of the BMUs, if there is one.
        reader: the reader of the pool, as the configuration names it; None: that of DESI coadds.
    """

    ensemble: str
    checksums: tuple[str, ...]
    thresholds: dict[str, Any]
    calibration: dict[str, Any] | None
    grid: str
    pool: tuple[str, ...]
    files: int
    som: SomReference | None
    reader: dict[str, Any] | None = None

    @classmethod
    def parse(cls, content: Any, work: Path) -> "DatasetDescription":
        """From the content of the file; ValueError, KeyError or TypeError if it is malformed."""
        som = content["som"]
        return cls(
            str(work / content["ensemble"]),
            tuple(content["checksums"]),
            dict(content["thresholds"]),
            content["calibration"],
            str(content["grid"]),
            tuple(str(work / path) for path in content["pool"]),
            int(content["files"]),
            som and SomReference(str(som["fingerprint"]), int(som["cells"])),
            content.get("reader"),
        )

    def to_dict(self, work: Path) -> dict[str, Any]:
        """As JSON takes it."""
        pool = [relative_path(path, work) for path in self.pool]
        content = asdict(self) | {"ensemble": relative_path(self.ensemble, work), "pool": pool}
        if self.reader is None:
            del content["reader"]
        return content


def relative_path(path: str, work: Path) -> str:
    """The path relative to the work folder if it lies inside."""
    inside = Path(path).is_relative_to(work)
    return Path(path).relative_to(work).as_posix() if inside else path
