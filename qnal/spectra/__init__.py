"""Files to arrays: grids, rebinning, DESI and BOSS readers, truth tables, the mock survey."""
