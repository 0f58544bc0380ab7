"""Readers of files of spectra, one per kind of file."""
