"""Spectra as arrays: wavelength grids, rebinning, readers, target table, mock survey."""
