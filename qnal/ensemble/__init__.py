"""Many networks: bootstrap, members on disk, forward passes, votes and scores."""
