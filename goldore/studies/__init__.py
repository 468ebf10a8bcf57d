"""Studies: which criterion and which keep ratio help a distiller, and which hurt it, measured.

A study is a table of cells, each with runs for some seeds (`cells`, `model`), kept in a file of its own
(`study_file`). `studying` is the door: it plans, runs what is missing and stops when it is time. Cells are
run by `builtin`, goldore's own distillers (`matching` distils all cells at once from a `pool` of real images,
`judges` train on what comes out), or by `programs`, commands of the user's,
which `goldore.applying` starts in a process of its own. `kept` says which samples a cell
keeps, `judging` what the accuracies prove, `answers` puts it into words and JSON.

May import: datasets, files, networks, repositories, runs, scores, selection, store, training, trials.
"""
