"""Selection: from scores to the positions to keep.

`pruning` is the door; `ordering` and `ranks` put samples in order, `index_file` keeps a selection, `keeping`
puts it to work in other people's code.

May import: datasets, files, scores, store, trials.
"""
