"""Ensembles of networks: labelled set, training of members, files, votes and calibration."""
