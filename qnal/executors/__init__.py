"""Executors: where tasks run (this process, local processes, Dask, Slurm, any other)."""
