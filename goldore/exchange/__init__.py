"""Lists and tables of other programs.

`importing` makes score files of published lists, `exporting` writes scores as such lists and as tables,
`dropping` is the paper's `drop_samples`, `shards` cuts WebDataset shards.

May import: datasets, files, scores, selection, store.
"""
