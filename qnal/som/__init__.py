"""The self-organising map: topology, fit, files, best-matching units, outlier score."""
