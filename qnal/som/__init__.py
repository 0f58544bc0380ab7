"""Self-organizing maps (SOMs): topology, fit, files, best-matching units (BMUs), outlier scores."""
