"""The errors that a user can cause or mend; each message says what, where and what to do."""


class RfplatformError(Exception):
    """Base of every error that is shown as one line, without a traceback."""


class InputError(RfplatformError):
    """The input can't be used: a file, an option, a place. The command exits with 2."""


class WorkerError(RfplatformError):
    """A worker process died or failed; the message carries its last words. Exit code 3."""


class MissingError(RfplatformError):
    """Something that the machine lacks (a library, the network). Exit code 4."""
