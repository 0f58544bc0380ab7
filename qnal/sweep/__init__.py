"""Sweeps: the jobs of ``qnal -m``, their table and their figure.

Jobs may run in other processes or on other machines, so all that is known of them is what they
write: Hydra's record of their overrides and their ``summary.json``.
"""
