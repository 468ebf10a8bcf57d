"""Training E networks at once on one device, and looking at them.

`devices` says where to train, `tuning` chooses how; `loop` trains on the whole training set and shows
predictions to the scores' observers, `subsets` trains each network on a small subset of its own, `distill`
makes synthetic images first. `execution`, `stepping` and `graphs` are how a step runs: eager, compiled or
replayed; `images`, `sending`, `read_ahead` and `memory` how images come to the device; `checkpoints` keeps
trainings under way. `reference` is the plain loop that
tests compare with.

May import: datasets, files, networks, scores, trials.
"""
