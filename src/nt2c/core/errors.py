"""Errors that a user can act on. Every message says what is wrong, where, and what to do."""


class Nt2cError(Exception):
    """Base of all errors raised on purpose; the command line prints it without a traceback."""


class InputError(Nt2cError):
    """An input file or array cannot be used; other inputs of a batch go on."""


class SettingsError(Nt2cError):
    """Wrong usage: an option, a recipe or a combination of them."""
