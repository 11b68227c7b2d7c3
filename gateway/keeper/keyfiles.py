"""The key files of a provider: noticing that they changed, and reading them.

The files are the truth, and they are never written here. What a file holds is `keylines`' business, what follows
for the pool is `sync`'s.

Invariants:

- A file that cannot be read or is no text keeps the keys of its last good reading; so does one that changes while
  it is read. A file that is gone has no keys; whether that is believed is the `ShrinkGuard`'s decision.
- Reading may take long and belongs into a thread. It gives the interpreter lock away often.
- No message holds anything of a file's content.
"""

from __future__ import annotations

import os
import shlex
import stat
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.keeper.keylines import KeyEntry, parse_key_lines
from gateway.keeper.pace import paced, uncollected
from gateway.quick import dataclass
from gateway.secret import Secret
from gateway.upstream.concealment import MASKED_FROM

__all__ = ["FileReport", "KeyEntry", "KeySource", "ShrinkGuard", "SourceReading"]

SUFFIXES = (".txt", ".ndjson")
"""What counts as a key file in a folder. Editors' backups and lock files end or begin otherwise."""

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Size of one file: 100,000 of the usual keys take 6 MB, with labels twice that."""

MAX_FILES = 1000
"""Files of one folder, since each is looked at every few seconds."""

MAX_PROBLEMS = 100
"""Problems of one reading; each becomes a log line."""

READ_TRIES = 3

RETRY_SECONDS = 0.02
"""A file that changes while it is read is read again, after this time; most writers are done by then."""


SHORT = (
    f"keys shorter than {MASKED_FROM} characters: {{}}; what a provider says is left out where it repeats one of them"
)
"""A remark with their number: such a key is a typing error, or a word for a server that needs none."""

KeysByFile = Mapping[Path, tuple[KeyEntry, ...]]

Losses = Mapping[Path, frozenset[Secret]]
"""Keys that a file had and that are in no file any more."""


class FileStamp(NamedTuple):
    """Tells one state of a file from another. `ctime_ns` changes when permissions do, too."""

    mtime_ns: int
    ctime_ns: int
    size: int
    inode: int


class Found(NamedTuple):
    """A file to read; or, with a problem, a folder. `unlisted`: its files are there, but nobody knows which."""

    path: Path
    problem: str = ""
    unlisted: bool = False


@dataclass(frozen=True, slots=True)
class FileReport:
    """What one file gave. `keys` counts what it contributes, which is its last good set if it is `broken`."""

    path: Path
    keys: int
    problems: tuple[str, ...] = ()
    broken: bool = False
    world_readable: bool = False
    duplicates: int = 0


@dataclass(frozen=True, slots=True)
class SourceReading:
    """All files together: their keys in order, each once; `by_file` has what each of them contributes. `problems`
    name the file and what to do.

    `unstable`: a file changed while it was read, so it has to be read again even if it looks the same then.
    `partial`: a file or folder has never been read well, so that nobody knows which keys it has.
    """

    entries: tuple[KeyEntry, ...]
    files: tuple[FileReport, ...]
    by_file: KeysByFile
    problems: tuple[str, ...] = ()
    unstable: bool = False
    partial: bool = False


class KeySource:
    """The files of one provider. A folder stands for every .txt and .ndjson file in it, in the order of their names.

    Files of other things than keys, which keep the same rules, are read with another `noun` and a `check`.
    """

    def __init__(
        self, paths: Sequence[Path], *, noun: str = "keys", check: Callable[[str], None] | None = None
    ) -> None:
        self._paths = tuple(paths)
        self._noun = noun
        self._check = check
        self._good: dict[Path, tuple[KeyEntry, ...]] = {}

    def stamp(self) -> tuple[tuple[Path, FileStamp | None], ...]:
        """The state of the files, to be compared; None for one that is missing. Costs a system call a file."""
        return tuple((found.path, _stamp(found.path)) for found in self._listed())

    def read(self) -> SourceReading:
        """Read everything. Raises nothing: what is wrong with a file is in its report."""
        reports, problems, unstable, partial = [], [], False, False
        sets: dict[Path, tuple[KeyEntry, ...]] = {}
        for path, problem, unlisted in self._listed():
            if unlisted:
                kept = {below: entries for below, entries in self._good.items() if below.parent == path}
                sets |= kept
                partial = partial or not kept
            if problem:
                problems.append(f"{path}: {problem}")
                continue
            entries, report, settled = self._read_file(path)
            unstable = unstable or not settled
            if path not in self._good and (report.broken or not settled):
                partial = True
            else:
                sets[path] = entries
            reports.append(report)
            problems += [f"{path}: {text}" for text in report.problems]
            if report.world_readable:
                advice = f"chmod o= {shlex.quote(str(path))}"
                problems.append(f"{path}: can be read by every user of this machine; run: {advice}")
        self._good = sets
        told = tuple(problems[:MAX_PROBLEMS])
        return SourceReading(_merge(tuple(sets.values())), tuple(reports), sets, told, unstable, partial)

    def _listed(self) -> Iterator[Found]:
        """Every file once, and folders that have a problem."""
        seen = set()
        for path in self._paths:
            # Not Path.is_dir(), which raises where permissions are missing and for names that are too long.
            for found in _list_folder(path) if os.path.isdir(path) else [Found(path)]:  # noqa: PTH112
                if found.path not in seen:
                    seen.add(found.path)
                    yield found

    def _read_file(self, path: Path) -> tuple[tuple[KeyEntry, ...], FileReport, bool]:
        """The keys of a file, the report, and whether it held still."""
        good = self._good.get(path, ())
        try:
            data, mode, settled = _read_settled(path)
        except FileNotFoundError:
            return (), FileReport(path, 0, ("does not exist",)), True
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            return good, FileReport(path, len(good), (self._kept(reason, good),), broken=True), True
        world_readable = bool(mode & stat.S_IROTH)
        if not settled:
            return good, FileReport(path, len(good), world_readable=world_readable), False
        with uncollected():
            known = {entry.secret: entry for entry in good}
            parsed = parse_key_lines(data, path.suffix == ".ndjson", known, self._check)
        if parsed.broken:
            problem = self._kept(parsed.broken, good)
            return good, FileReport(path, len(good), (problem,), True, world_readable), True
        problems = parsed.problems if parsed.entries or parsed.problems else (f"has no {self._noun}",)
        if parsed.short and self._check is None:
            problems += (SHORT.format(parsed.short),)
        report = FileReport(
            path, len(parsed.entries), problems, world_readable=world_readable, duplicates=parsed.duplicates
        )
        return parsed.entries, report, True

    def _kept(self, reason: str, good: tuple[KeyEntry, ...]) -> str:
        return f"{reason}; the {len(good)} {self._noun} it had are kept" if good else reason


class ShrinkGuard:
    """Disbelieves a sudden loss in any one file until it is confirmed: half-written and emptied files, and one that was
    copied over another, are more common than operators who take most keys out at once."""

    def __init__(self) -> None:
        self._believed: KeysByFile = {}
        self._doubted: Losses = {}

    def losses(self, gone: Collection[Secret]) -> Losses:
        """The files that lost more than half of their keys since the reading that was believed last, and which of them
        those are. `gone` are the keys that no file has any more: a key that moved to another file is not lost.

        Changes nothing, and belongs into the thread.
        """
        found = {}
        for path, entries in paced(self._believed.items(), 1):
            lost = frozenset(entry.secret for entry in entries if entry.secret in gone)
            if len(lost) * 2 > len(entries):
                found[path] = lost
        return found

    def doubt(self, losses: Losses) -> tuple[Path, ...]:
        """Which of these losses are not to be believed. The same losses seen twice are none."""
        confirmed = losses == self._doubted
        self._doubted = losses
        return () if confirmed else tuple(losses)

    def believe(self, by_file: KeysByFile) -> None:
        """What is compared with from now on. The entries are the reading's own, so that this takes no memory."""
        self._believed, self._doubted = by_file, {}


def _list_folder(folder: Path) -> list[Found]:
    try:
        with os.scandir(folder) as items:
            names = sorted(
                item.name
                for item in items
                if item.name.endswith(SUFFIXES) and not item.name.startswith(".") and not item.is_dir()
            )
    except OSError as error:
        return [Found(folder, f"cannot be listed: {error.strerror}; the keys it had are kept", unlisted=True)]
    if not names:
        return [Found(folder, "has no .txt or .ndjson file")]
    listed = [Found(folder / name) for name in names[:MAX_FILES]]
    if len(names) > MAX_FILES:
        listed.append(Found(folder, f"has more than {MAX_FILES} files; the others are not read"))
    return listed


def _stamp(path: Path) -> FileStamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return FileStamp(found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)


def _read_settled(path: Path) -> tuple[bytes, int, bool]:
    """Bytes, mode, and whether the file held still meanwhile. Raises OSError, and ValueError for what is no file."""
    for attempt in range(READ_TRIES):
        if attempt:
            time.sleep(RETRY_SECONDS)
        # Not blocking: opening a named pipe would wait for somebody to write.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise ValueError("is not a regular file")
            data = file.read(MAX_FILE_BYTES + 1)
            after = os.fstat(file.fileno())
        if len(data) > MAX_FILE_BYTES:
            raise ValueError(f"is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB")
        if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
            return data, after.st_mode, True
    return data, after.st_mode, False


def _merge(sets: Sequence[tuple[KeyEntry, ...]]) -> tuple[KeyEntry, ...]:
    """The keys of all files in order; of a key in several files the first entry counts."""
    if len(sets) == 1:
        return sets[0]
    merged: dict[Secret, KeyEntry] = {}
    for entries in sets:
        for entry in entries:
            merged.setdefault(entry.secret, entry)
    return tuple(merged.values())
