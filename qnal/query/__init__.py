"""Queries: rank the scored spectra, filter them, and select targets for visual inspection."""
