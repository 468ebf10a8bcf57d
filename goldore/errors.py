"""The errors that a user can cause.

Every one carries a single sentence: what is wrong and what to do about it. The command line prints that
sentence and exits with `exit_code`; nothing half-written is left behind.

A sentence names arguments in backticks, `keep_ratio`, and the command line prints its own spelling of them.
"""

import re

_ARGUMENT = re.compile(r"`(\w+)`")


class GoldoreError(Exception):
    """Something a user can mend: the message says what is wrong and what to do."""

    exit_code = 1

    @property
    def argument(self) -> str | None:
        """The first argument that the message names in backticks, for example "keep_ratio"; else None."""
        found = _ARGUMENT.search(str(self))
        return found[1] if found is not None else None


class UsageError(GoldoreError):
    """The call itself is wrong: an unknown name, a ratio outside 0..1, options that exclude each other."""

    exit_code = 2


class DatasetError(GoldoreError):
    """The dataset is missing, corrupted or unfit for scoring."""


class ScoreFileError(GoldoreError):
    """A score file that is missing, damaged or of another kind, or that belongs to another run."""


class NewerFormatError(GoldoreError):
    """Something in a file that a newer goldore wrote and this one does not know."""


class LockedError(GoldoreError):
    """A file that another process is writing to."""


class IndexFileError(GoldoreError):
    """An index file that cannot be read or written, or whose content is not a set of kept positions."""


class MappingError(GoldoreError):
    """Two datasets whose samples cannot be found in one another."""


class TargetError(GoldoreError):
    """A selection that the repository which it is for does not survive."""


class TreeError(GoldoreError):
    """A pruned folder tree that cannot be written."""


class PlugError(GoldoreError):
    """A clone that is another repository, or another version of it.

    Attributes:
        details: lines that help to do it by hand; may be empty.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class UnreliableError(GoldoreError):
    """A ranking that is less reliable than was asked for."""


class OutOfMemoryError(GoldoreError):
    """The device's memory does not hold the work; the message says what to lower."""


def require(condition: bool, sentence: str) -> None:
    """Refuse a value.

    Raises:
        UsageError: with the sentence, unless the condition holds.
    """
    if not condition:
        raise UsageError(sentence)


def reason(error: BaseException) -> str:
    """An error's message as part of a sentence: on one line, without a full stop, the type if it is empty."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__
