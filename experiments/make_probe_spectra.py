"""Make the probe spectra, on which the rounding error of bfloat16 is measured.

Source:  mock quasars, galaxies, stars and empty fibres of qnal.spectra.mock, as of its version 1
Command: python experiments/make_probe_spectra.py
Cost:    a second
Expect:  qnal/inference/probe_spectra.npz, 128 spectra of 1,330 pixels, 330 kB

The file is data of the package: stored predictions depend on it. Make it anew only together with a
new ``VERSION`` in qnal/inference/float32_recheck.py, which makes all bfloat16 predictions be
computed again. A later mock survey would give other spectra.
"""

import numpy as np

from qnal.inference.probe_spectra import FILE
from qnal.spectra.mock.config import MockConfig
from qnal.spectra.mock.model_grid import WAVE
from qnal.spectra.mock.observation import reference_noise
from qnal.spectra.mock.targets import draw_targets

SEED = 5
SPECTRA = 128
MIX = {"qso": 0.5, "galaxy": 0.2, "star": 0.2, "sky": 0.05, "oddity": 0.05}


def main() -> None:
    """Draw the spectra, average neighbouring pixels and write the file."""
    rng = np.random.default_rng(SEED)
    signal = draw_targets(rng, SPECTRA, MIX, MockConfig()).signal
    noise = np.interp(WAVE, WAVE[::8], reference_noise())
    flux = signal + noise * rng.standard_normal(signal.shape)
    np.savez_compressed(
        FILE,
        wave=WAVE.reshape(-1, 2).mean(axis=1),
        flux=flux.reshape(SPECTRA, -1, 2).mean(axis=2).astype(np.float16),
        ivar=(2 / (noise.reshape(-1, 2) ** 2).mean(axis=1)).astype(np.float32),
    )


if __name__ == "__main__":
    main()
