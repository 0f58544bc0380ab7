"""Errors caused by the input or the configuration, as opposed to bugs.

Each message states in one sentence what is wrong, where, and what would be valid. The command line
prints it without a traceback and exits with status 1.
"""


class QnalError(Exception):
    """Base class of all errors caused by the input or the configuration."""


class ConfigError(QnalError):
    """A key or value of the configuration, or an argument, cannot be used."""


class InputError(QnalError):
    """A file cannot be read or does not have the expected content."""
