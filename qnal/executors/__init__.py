"""Executors: run tasks in this process, in local processes, on Dask workers or in Slurm jobs."""
