"""What makes datasets hold the samples of an index file in a program that knows nothing of goldore.

The program runs in an environment of its own, without goldore, so this needs the standard library alone and
runs on every Python from 3.6. It costs a program little that reads no training set: the doors are opened when
Python imports the modules that they belong to.

A dataset is the one that the index is about if something in it tells the class of every sample, in the order
whose digest the side-car of the index holds. Then everything in it that has an entry for every sample is cut
to the kept ones. What the index is not about is left alone. What happens is written to a log, one JSON object
a line, and the process that began the log reports.
"""

import os
import sys

VARIABLE = "GOLDORE_RUN"
"""Names the index file, a .npy with its side-car."""
LOG_VARIABLE = "GOLDORE_RUN_LOG"
"""Names the log; set by the process that reports."""


def start():
    """Open the doors in this process if the variable asks for it; report at its end if nobody else does."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    from .hook import Hook

    path = os.environ[VARIABLE] = os.path.abspath(path)  # a child may start in another folder
    log = os.environ.get(LOG_VARIABLE)
    if not log:
        log = os.environ[LOG_VARIABLE] = _own_log(path)
    hook = Hook(path, log, variables={name: os.environ[name] for name in (VARIABLE, LOG_VARIABLE)})
    hook.tell("started")
    hook.open()


def _own_log(path):
    """The path of a log of which this process makes the report when it ends."""
    import atexit
    import tempfile

    folder = tempfile.mkdtemp(prefix="goldore-run-")
    log = os.path.join(folder, "log")
    me = os.getpid()

    def tell():
        if os.getpid() != me:  # a fork
            return
        import shutil

        from .index import Refusal, read_index
        from .report import report

        try:
            index = read_index(path)
        except Refusal:
            index = None
        found = report(log, index)
        shutil.rmtree(folder, ignore_errors=True)
        sys.stderr.write("".join(line + "\n" for line in found.lines))
        if found.seen and not found.well:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)

    atexit.register(tell)  # the first of all, so that it is called last
    return log
