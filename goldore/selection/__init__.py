"""Selection: from scores to the positions to keep.

`pruning` is the door. `criteria` makes the keys of an order, `amount` exact counts, and `strategies` lists
the rules that choose so many samples: `rule` says what one is, `ordered` has those that need nothing but the
order, `filters` those that leave samples out for others, `featured` those that look at features or several
scores, and `facts` is what a score file tells them; `ordering` and `ranks` put samples in order. `index_file`
keeps a selection, `keeping` puts it to work in other people's code.

May import: datasets, files, store, trials.
"""

from goldore.selection.ordering import ascending
from goldore.selection.rule import Filter, Samples, Strategy

__all__ = ["Filter", "Samples", "Strategy", "ascending"]
