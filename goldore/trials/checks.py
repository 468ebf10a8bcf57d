"""What the recipes share for checking their values."""

from goldore.errors import UsageError


def require(condition: bool, sentence: str) -> None:
    """Refuse a value.

    Raises:
        UsageError: with the sentence, unless the condition holds.
    """
    if not condition:
        raise UsageError(sentence)


def option(field: str) -> str:
    """The command line's spelling of a field's name."""
    return "--" + field.replace("_", "-")
