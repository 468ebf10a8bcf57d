"""The test accuracy of distilled images, read off what a program prints."""

import math
import re
from collections import deque

from goldore.errors import UsageError, reason


def check_pattern(pattern: str) -> None:
    """See whether a metric is a regular expression.

    Raises:
        UsageError: if it does not compile.
    """
    try:
        re.compile(pattern, re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"`metric` is no regular expression ({reason(error)}); mend it.") from error


def read_accuracy(text: str, pattern: str, *, percent: bool) -> float | None:
    """The accuracy that a program printed last.

    Args:
        text: the program's output.
        pattern: regular expression with the accuracy as group 1, or as the whole match if it has no group.
        percent: whether the accuracy is printed in percent; as a share from 0 to 1 otherwise.

    Returns:
        The accuracy in percent; None if nothing matches, or if the last match is no finite number.
    """
    found = deque(re.finditer(pattern, text, re.MULTILINE), maxlen=1)
    if not found:
        return None
    match = found[0]
    try:
        value = float(match[1] if match.re.groups else match[0])
    except (TypeError, ValueError):  # a group that took no part in the match is None
        return None
    value = value if percent else 100 * value
    return value if math.isfinite(value) else None
