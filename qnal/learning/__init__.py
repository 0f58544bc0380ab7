"""The closed loop, simulated on a labelled set: how much is learned per label, by strategy."""
