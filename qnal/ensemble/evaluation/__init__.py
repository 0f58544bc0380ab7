"""How good an ensemble is on labelled spectra its members have not seen, and its calibration."""
