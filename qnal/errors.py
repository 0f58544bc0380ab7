"""What can go wrong by the user's hand, said in one sentence.

Every message says what is wrong, where, and what would be valid; the command line prints it
without a traceback and exits with 1.
"""


class QnalError(Exception):
    """Base of all errors that are the input's or the configuration's, not the program's."""


class ConfigError(QnalError):
    """A key or a value of the configuration cannot be used."""


class InputError(QnalError):
    """A file cannot be read or does not hold what it should."""
