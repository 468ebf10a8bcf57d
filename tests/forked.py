"""Processes that are cheap to start: forked from one that has imported torch, what trains, and the commands.

There is one such server in a process, so all tests share it and what it imports.
"""

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
# torch._dynamo is what torch itself imports late
FORKS.set_forkserver_preload(["torch._dynamo", "goldore.runs", "tests.durability.runs", "tests.teams.loaded"])
