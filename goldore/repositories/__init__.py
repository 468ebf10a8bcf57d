"""Distillation repositories: where each reads its data, what it survives, and the plug for it.

`catalogue` is the table of them, `needs` what each survives; `plug` puts `keep_block` into a clone, `limits`
checks a selection, `mapping` gives positions in another loader's order, `tree` makes pruned folder trees,
`metric` reads an accuracy off a program's output.

May import: datasets, files, store.
"""

import difflib

from goldore.errors import UsageError
from goldore.repositories.catalogue import REPOSITORIES
from goldore.repositories.model import Repository
from goldore.wording import plain_name


def find_repository(name: str) -> Repository:
    """A repository by its name; case, hyphens and underscores are ignored.

    Raises:
        UsageError: if goldore knows none of that name.
    """
    names = {plain_name(known): known for known in REPOSITORIES}
    plain = plain_name(name)
    if plain not in names:
        near = difflib.get_close_matches(plain, names, n=1)
        hint = f"did you mean {names[near[0]]}?" if near else f"known are {', '.join(REPOSITORIES)}."
        raise UsageError(f"goldore knows no repository {name!r}; {hint}")
    return REPOSITORIES[names[plain]]


__all__ = ["REPOSITORIES", "Repository", "find_repository"]
