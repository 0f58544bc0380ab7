"""Configuration: the schema of ``conf/``, and its checks."""
