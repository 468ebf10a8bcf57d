"""Runs: plan the trials, train those that are missing, keep each as soon as it is done.

`scoring` is the door; a `Job` holds what travels together, `preparation` sees what is there and plans, the
stages train what is missing, one for each kind of trial: `loss_stage` and `utility_stage` with `budget`,
`pilot` and `evaluation`. `output` keeps trials as they are done, `groups` says which train together.
`team`, `parts`, `sharing` and `launching` are for several processes, `agents` for several machines; a
`Watcher` is told how it goes.

May import: datasets, files, networks, scores, store, training, trials.
"""
