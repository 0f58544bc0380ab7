"""Forward passes: what computes them, in which numbers, and which are done twice."""
