"""The scores of a pool: the dataset on disk, sums over it, and its exports."""
