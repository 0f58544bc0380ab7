"""What inspectors say of spectra: their tables in all dialects."""
