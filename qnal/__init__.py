"""qnal decides which spectra people should look at next."""
