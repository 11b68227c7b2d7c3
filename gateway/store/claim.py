"""One gateway to a database file. Two would each end the reservations of the other for those of one that has died.

The claim is a lock (flock) on an empty file beside the database, which the kernel lets go with the process, however
that ends. On the database itself it could meet SQLite's own locks, which some network file systems do not tell from it.
The file stays: removed, two processes could hold two of that name.

Commands that only look, copy or tidy up need no claim.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from gateway.errors import StartError
from gateway.store.failures import failure


def claim_file(path: Path) -> int:
    """The descriptor that holds the claim on the database at `path`, which need not be there yet; closing it gives the
    claim up. Raises StartError when another process has it, StoreUnavailable when the folder cannot be written."""
    beside = Path(f"{path.resolve()}.lock")  # whatever symbolic link leads there
    try:
        beside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise
    except BlockingIOError:
        raise StartError(
            "another gateway uses the database",
            detail=str(path),
            hint="wait until it has stopped, or name another file in store.url: each gateway needs one of its own",
        ) from None
    except OSError as error:
        raise failure(error, path) from error
    return lock
