"""Readers of spectra, one module or package per kind of file."""
