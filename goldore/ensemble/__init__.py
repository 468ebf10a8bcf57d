"""The trainer: E proxy networks trained at once with stacked parameters.

`training.train` runs trials and shows the scores' observers the epochs that they ask for;
`reference.train_one` is the plain loop that tests hold it against.
"""
