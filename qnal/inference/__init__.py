"""Forward passes of an ensemble over a pool, and the cache of what they gave."""
