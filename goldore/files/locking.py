"""One writer a file: a lock beside it, which the end of the process releases, however it ends.

The operating system holds the lock (flock), so that a process that was killed blocks nobody. Some file
systems of clusters cannot; there the lock file itself is the lock, and whether its owner lives is asked of
the system, on the machine it runs on.
"""

import errno
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from goldore.errors import GoldoreError, LockedError, reason
from goldore.files.atomic import check_writable, remove_left_behind

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)  # of file systems without flock
_MOST_BYTES = 4096
_SETTLED = 0.5  # seconds after which all have written who came at the same time


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Be the only one that writes to a file, on all machines that see it; the folder is made if need be.

    Temporaries of the file that killed processes left are removed.

    Args:
        path: of the file, which need not exist; a symbolic link is followed.

    Raises:
        LockedError: if another process writes to it; the message says which.
        GoldoreError: if the folder cannot be written to.
    """
    check_writable(path)
    lock = lock_of(path)
    try:
        handle = _acquire(lock, path)
    except OSError as error:
        raise GoldoreError(
            f"{path} cannot be locked ({reason(error)}); make room or choose another `out`."
        ) from error
    try:
        remove_left_behind(path)
        yield
    finally:
        remove_left_behind(path)  # an interrupt may come before whoever made one can see to it
        with suppress(OSError):  # the folder may have gone, or become read-only
            if os.fstat(handle).st_ino == lock.stat().st_ino:  # else it is another's, in a folder made anew
                lock.unlink()
        os.close(handle)


def clear_lock(path: Path) -> None:
    """Remove the lock file that a killed process left beside a file; one that is held stays."""
    with suppress(GoldoreError), writing_to(path):
        pass


def lock_of(path: Path) -> Path:
    """The lock file beside a file."""
    real = path.resolve()
    return real.with_name(f"{real.name}.lock")


def _acquire(lock: Path, path: Path) -> int:
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            by_system = _flock(handle)
            if by_system is False or (by_system is None and _may_live(_owner(handle))):
                raise LockedError(_held(path, lock, _owner(handle)))
            try:
                same = os.fstat(handle).st_ino == lock.stat().st_ino
            except FileNotFoundError:
                same = False
            if same:  # the last owner may have removed it between opening and locking
                me = _myself()
                try:
                    os.ftruncate(handle, 0)
                    os.pwrite(handle, json.dumps(me).encode(), 0)
                except OSError:  # the disk may be full
                    lock.unlink()
                    raise
                if by_system is None:  # of several that came at the same time the last has it
                    time.sleep(_SETTLED)
                    if _owner(handle) != me:
                        raise LockedError(_held(path, lock, _owner(handle)))
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _flock(handle: int) -> bool | None:
    """Lock an open file; false if another process holds it, None if the system cannot tell."""
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        else:
            return True
    return None


def _myself() -> dict[str, Any]:
    pid = os.getpid()
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    place = {"host": socket.gethostname(), "pid": pid, "started": _started(pid)}
    return {**place, "since": since, "token": uuid.uuid4().hex}


def _owner(handle: int) -> dict[str, Any]:
    """What a lock file says of its owner; empty if it says nothing."""
    try:
        owner = json.loads(os.pread(handle, _MOST_BYTES, 0))
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) and {"host", "pid"} <= owner.keys() else {}


def _may_live(owner: dict[str, Any]) -> bool:
    """Whether the owner of a lock file may still run: on other machines that cannot be told."""
    if not owner:
        return False
    if owner.get("host") != socket.gethostname():
        return True
    try:
        os.kill(int(owner["pid"]), 0)
    except (ProcessLookupError, TypeError, ValueError, OverflowError):
        return False
    except OSError:  # it is another user's
        return True
    return _started(int(owner["pid"])) == owner.get("started")


def _started(pid: int) -> str:
    """When a process began, in the kernel's ticks: a number may have gone to another process since."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _held(path: Path, lock: Path, owner: dict[str, Any]) -> str:
    who = "another process"
    if owner:
        who = f"process {owner.get('pid')} on {owner.get('host')}, since {owner.get('since')}"
    gone = ""
    if owner.get("host") not in (None, socket.gethostname()):
        gone = f" (if it is gone, remove {lock})"
    return f"{path} is being written by {who}{gone}; wait for it, or give this run an `out` of its own."
