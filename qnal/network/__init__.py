"""QuasarNET: structure, targets and their decoding, loss, training step, weight files."""
