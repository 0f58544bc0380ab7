"""Forward passes of an ensemble, the cache of its predictions, and the task that scores files."""
