"""Which spectra people should look at next."""
