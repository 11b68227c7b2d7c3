"""A copy of a database file under a new name: consistent, whole or not there, for its owner alone.

It is made by whatever process asks, while the daemon goes on; the schema and the rows are as they were at one moment.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from gateway.config.files import create_temporary, sync_folder


def copy_database(path: Path, target: Path) -> None:
    """Blocks for as long as reading and writing all of it takes, so that it is not for the loop.

    Raises FileExistsError for a target that exists, other OSErrors where it cannot be written, StoreError when there is
    no database, or a damaged one.
    """
    from gateway.store.sqlite import copy_sqlite  # not at the top: see `gateway.store`

    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    temporary = target.with_name(f".{target.name[:200]}.{os.urandom(6).hex()}.tmp")
    file = create_temporary(temporary, target, os.O_RDWR, 0o600)
    try:
        copy_sqlite(path, temporary)
        os.fsync(file)
        _give_name(temporary, target)
    finally:
        os.close(file)
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def _give_name(temporary: Path, target: Path) -> None:
    try:
        os.link(temporary, target)  # unlike a rename it never replaces what has come in the meantime
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, such as a memory stick's
        temporary.rename(target)
