"""QuasarNET: its lines, targets, training, weight files and what its answers mean."""
