"""Replacing a file in one step: readers see the old content or the new, never half of either.

Owner and mode stay what they were, and a symbolic link stays a link.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def write_atomically(path: Path, data: str | bytes | Iterable[bytes], mode: int | None = None) -> None:
    """Write `data`, in one or many pieces, to `path` by way of a temporary file in the same folder, on disk before it
    returns.

    An existing file keeps owner, group and mode; a new one gets `mode`, or what the umask leaves of 0666.
    Raises OSError that names `path`, with the file as it was; PermissionError among others where the owner could not
    be kept.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name[:200]}.{os.urandom(6).hex()}.tmp")
    data = data.encode() if isinstance(data, str) else data
    pieces = (data,) if isinstance(data, bytes) else data
    try:
        before: os.stat_result | None = target.stat()
    except FileNotFoundError:
        before = None
    # Nobody else may look into a file that will be private before its mode is set.
    file = create_temporary(temporary, path, os.O_WRONLY, 0o666 if before is None and mode is None else 0o600)
    try:
        with os.fdopen(file, "wb") as stream:
            _take_after(file, before, mode)
            stream.writelines(pieces)
            stream.flush()
            os.fsync(file)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def create_temporary(temporary: Path, path: Path, access: int, mode: int) -> int:
    """A descriptor of a new file that will be `path`. An OSError names that: nobody knows the other name."""
    try:
        return os.open(temporary, access | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        error.filename = str(path)
        raise


def _take_after(file: int, before: os.stat_result | None, mode: int | None) -> None:
    """Give a new file the owner and mode of the one it replaces, or else the wanted mode."""
    if before is None:
        if mode is not None:
            os.fchmod(file, mode)
        return
    now = os.fstat(file)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        os.fchown(file, before.st_uid, before.st_gid)
    os.fchmod(file, before.st_mode & 0o7777)


def sync_folder(folder: Path) -> None:
    """Make the names in it durable, a new one above all."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
