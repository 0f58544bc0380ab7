"""Evaluation of an ensemble on labelled spectra that are out of bag, and its calibration."""
