"""What computes the forward passes of one network."""
