"""An index file at work in programs that know nothing of it: `goldore run`, and `applied` for notebooks.

`hook/` is put on PYTHONPATH of a program, whose environment needs no goldore: Python runs `sitecustomize` at
its start, and `goldore_hook` sees to the datasets that are built. `launching` starts a program with it, and
`within` uses it in this process.

May import: selection.
"""
