"""Backends: implementations of the forward pass of one network."""
