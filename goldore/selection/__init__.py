"""Selection: from scores to the positions to keep.

`pruning` is the door. `criteria` makes the keys of an order, `amount` exact counts, and `strategies` lists
the rules that choose so many samples; `ordering` and `ranks` put samples in order. `index_file` keeps a
selection, `keeping` puts it to work in other people's code.

May import: datasets, files, store, trials.
"""

from goldore.selection.ordering import ascending
from goldore.selection.strategies import Strategy

__all__ = ["Strategy", "ascending"]
