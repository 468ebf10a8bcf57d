"""The trainer: E proxy networks trained at once with stacked parameters.

It knows nothing of scores. `training.train` runs trials and calls observers with the losses they ask for;
`reference.train_one` is the plain loop that tests hold it against.
"""
