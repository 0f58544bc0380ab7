"""A small coadd to write, whole or spoiled."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pytest

from qnal.spectra.spectra_file import SpectraFile

WAVE = {
    "B": np.arange(3600.0, 5800.1, 8.0),
    "R": np.arange(5760.0, 7620.1, 8.0),
    "Z": np.arange(7520.0, 9824.1, 8.0),
}
# Beyond 2**53, where neighbours are one and the same number for a float.
FIRST_TARGETID = 39633559463397282


@dataclass
class CoaddParts:
    """HDUs of a coadd by name, to be changed before it is written; None leaves one out."""

    hdus: dict[str, Any]
    header: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> SpectraFile:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fitsio.FITS(str(path), "rw", clobber=True) as out:
            out.write(None)
            out[0].write_keys(self.header)
            for name, content in self.hdus.items():
                if content is not None:
                    out.write(content, extname=name)
        return SpectraFile(path.name, path)


@pytest.fixture(scope="session")
def coadd_parts() -> Callable[..., CoaddParts]:
    """Parts of a plausible coadd: a slope, a line and noise in each row."""

    def make(rows: int = 3, seed: int = 0, **columns: Any) -> CoaddParts:
        rng = np.random.default_rng(seed)
        given = {"TARGETID": FIRST_TARGETID + np.arange(rows, dtype=np.int64)} | columns
        kinds = [(name, np.asarray(v).dtype.str) for name, v in given.items()]
        fibermap = np.zeros(rows, dtype=kinds)
        for name, values in given.items():
            fibermap[name] = values
        hdus: dict[str, Any] = {"FIBERMAP": fibermap}
        for camera, wave in WAVE.items():
            signal = 1 + wave / 9000 + 5 * np.exp(-0.5 * ((wave - 6600) / 60) ** 2)
            shape = (rows, len(wave))
            hdus[f"{camera}_WAVELENGTH"] = wave
            hdus[f"{camera}_FLUX"] = (signal + rng.normal(0, 0.3, shape)).astype(np.float32)
            hdus[f"{camera}_IVAR"] = rng.uniform(5, 15, shape).astype(np.float32)
            hdus[f"{camera}_MASK"] = np.zeros(shape, np.int32)
        return CoaddParts(hdus)

    return make
