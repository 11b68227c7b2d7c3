from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.keeper import keyfiles
from gateway.keeper.keyfiles import KeySource, ShrinkGuard, SourceReading
from gateway.secret import Secret


def keys(reading: SourceReading) -> list[str]:
    return [entry.secret.reveal() for entry in reading.entries]


def write(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def replace(path: Path, text: str | bytes) -> None:
    """As a careful writer does it."""
    write(path.with_suffix(".new"), text).replace(path)


def test_files_are_read_in_order_and_keys_count_once(tmp_path: Path) -> None:
    first, second = write(tmp_path / "b.txt", "sk-000-2\nsk-000-1\n"), write(tmp_path / "a.txt", "sk-000-1\nsk-000-3\n")
    reading = KeySource((first, second)).read()
    assert keys(reading) == ["sk-000-2", "sk-000-1", "sk-000-3"]
    assert [(report.path, report.keys) for report in reading.files] == [(first, 2), (second, 2)]
    assert reading.problems == ()
    assert not reading.unstable


def test_a_folder_stands_for_its_key_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.txt", "a.ndjson", ".hidden.txt", "c.txt~", "#d.txt#", "e.txt.bak", ".#f.txt", "notes.md"):
        write(tmp_path / "keys" / name, '{"value": "a"}' if name.endswith(".ndjson") else name)
    (tmp_path / "keys" / "folder.txt").mkdir()
    (tmp_path / "keys" / "link.txt").symlink_to(write(tmp_path / "elsewhere", "linked"))
    reading = KeySource((tmp_path / "keys",)).read()
    assert keys(reading) == ["a", "b.txt", "linked"]


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    path = write(tmp_path / "keys" / "a.txt", "sk-000-1")
    reading = KeySource((path, tmp_path / "keys", path)).read()
    assert len(reading.files) == 1


def test_several_files_and_folders_make_one_set_and_the_first_labels_stay(tmp_path: Path) -> None:
    first = write(tmp_path / "main.txt", "sk-000-1 account=a\nsk-000-2\n")
    write(
        tmp_path / "bought" / "b.ndjson", '{"value": "sk-000-3", "weight": 2}\n{"value": "sk-000-1", "account": "b"}\n'
    )
    write(tmp_path / "bought" / "a.txt", "sk-000-2 note=again\nsk-000-4\n")
    last = write(tmp_path / "last.ndjson", '{"value": "sk-000-5", "note": "two words"}\n')
    reading = KeySource((first, tmp_path / "bought", last)).read()
    assert [(entry.secret.reveal(), dict(entry.labels)) for entry in reading.entries] == [
        ("sk-000-1", {"account": "a"}),
        ("sk-000-2", {}),
        ("sk-000-4", {}),
        ("sk-000-3", {"weight": "2"}),
        ("sk-000-5", {"note": "two words"}),
    ]
    assert [(report.path.name, report.keys) for report in reading.files] == [
        ("main.txt", 2),
        ("a.txt", 2),
        ("b.ndjson", 2),
        ("last.ndjson", 1),
    ]


def test_an_empty_folder_is_a_problem(tmp_path: Path) -> None:
    reading = KeySource((tmp_path,)).read()
    assert reading.problems == (f"{tmp_path}: has no .txt or .ndjson file",)


def test_too_many_files_in_a_folder_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfiles, "MAX_FILES", 2)
    for n in range(3):
        write(tmp_path / f"{n}.txt", f"sk-000-{n}")
    reading = KeySource((tmp_path,)).read()
    assert keys(reading) == ["sk-000-0", "sk-000-1"]
    assert reading.problems == (f"{tmp_path}: has more than 2 files; the others are not read",)


def test_a_missing_path_has_no_keys_and_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "main.txt"
    source = KeySource((path,))
    assert source.stamp() == ((path, None),)
    reading = source.read()
    assert (reading.entries, reading.problems) == ((), (f"{path}: does not exist",))
    assert not reading.files[0].broken


def test_a_file_that_vanishes_loses_its_keys(tmp_path: Path) -> None:
    source = KeySource((write(tmp_path / "main.txt", "sk-000-1"),))
    source.read()
    (tmp_path / "main.txt").unlink()
    assert source.read().entries == ()


CHANGES: dict[str, Callable[[Path], object]] = {
    "rewritten": lambda path: path.write_text("sk-000-2"),
    "appended to": lambda path: write(path, path.read_bytes() + b"sk-000-9\n"),
    "replaced": lambda path: replace(path, "sk-000-2"),
    "removed": lambda path: path.unlink(),
    "given away": lambda path: path.chmod(0o644),
    "touched": lambda path: os.utime(path, ns=(1, 1)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_stamp_changes_when_a_file_is(change: str, tmp_path: Path) -> None:
    path = write(tmp_path / "main.txt", "sk-000-1")
    os.utime(path, ns=(10**18, 10**18))  # an old file, so that no test depends on the clock's resolution
    source = KeySource((path,))
    before = source.stamp()
    assert source.stamp() == before
    source.read()
    assert source.stamp() == before
    CHANGES[change](path)
    assert source.stamp() != before


def test_the_stamp_changes_when_a_folder_gets_a_file(tmp_path: Path) -> None:
    source = KeySource((tmp_path,))
    before = source.stamp()
    write(tmp_path / "a.txt", "sk-000-1")
    assert source.stamp() != before


BROKEN: dict[str, bytes] = {
    "binary": b"\x7fELF\x00",
    "latin-1": b"sk-\xe4",
    "UTF-16": "sk-000-1".encode("utf-16"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_keeps_its_own_last_good_keys(kind: str, tmp_path: Path) -> None:
    good, other = write(tmp_path / "a.txt", "sk-000-1\nsk-000-2"), write(tmp_path / "b.txt", "sk-000-3")
    source = KeySource((good, other))
    source.read()
    write(good, BROKEN[kind])
    write(other, "sk-000-4")
    for _ in range(2):  # again and again
        reading = source.read()
        assert keys(reading) == ["sk-000-1", "sk-000-2", "sk-000-4"]
        assert [(report.keys, report.broken) for report in reading.files] == [(2, True), (1, False)]
        (problem,) = reading.problems
        assert problem.startswith(f"{good}: ") and problem.endswith("; the 2 keys it had are kept")
    write(good, "sk-000-5")
    assert keys(source.read()) == ["sk-000-5", "sk-000-4"]


def test_a_file_that_was_never_good_has_nothing_to_keep(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"\x00")
    reading = KeySource((path,)).read()
    assert reading.entries == ()
    assert reading.files[0].broken
    assert "kept" not in reading.problems[0]


def test_a_file_that_may_not_be_read_keeps_its_last_good_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.txt", "sk-000-1")
    source = KeySource((path,))
    source.read()

    def refused(path: Path, flags: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patched:  # a mode would not stop root, who runs tests in containers
        patched.setattr(os, "open", refused)
        reading = source.read()
    assert keys(reading) == ["sk-000-1"]
    assert reading.problems == (f"{path}: Permission denied; the 1 keys it had are kept",)


def test_a_folder_that_may_not_be_listed_keeps_its_last_good_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "keys" / "a.txt", "sk-000-1").parent
    other = write(tmp_path / "other.txt", "sk-000-2")
    source = KeySource((folder, other))
    source.read()

    def refused(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refused)
        for _ in range(2):
            reading = source.read()
            assert keys(reading) == ["sk-000-1", "sk-000-2"]
            assert reading.problems == (f"{folder}: cannot be listed: Permission denied; the keys it had are kept",)
    write(folder / "a.txt", "sk-000-3")
    assert keys(source.read()) == ["sk-000-3", "sk-000-2"]


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize("make", [make_pipe, make_socket])
def test_what_is_no_regular_file_is_broken_and_never_waited_for(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    make(path)
    reading = KeySource((path,)).read()
    assert reading.files[0].broken


def test_a_file_that_is_too_large_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfiles, "MAX_FILE_BYTES", 10)
    path = write(tmp_path / "a.txt", "sk-000-1234567890")
    assert KeySource((path,)).read().files[0].broken


def test_a_file_readable_by_others_draws_the_command_to_run(tmp_path: Path) -> None:
    path = write(tmp_path / "the keys.txt", "sk-000-1", 0o644)
    source = KeySource((path,))
    reading = source.read()
    assert reading.files[0].world_readable
    assert reading.problems == (f"{path}: can be read by every user of this machine; run: chmod o= '{path}'",)
    path.chmod(0o640)
    assert source.read().problems == ()


def test_problems_of_lines_name_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "sk-000-1\nsk 2\n")
    (problem,) = KeySource((path,)).read().problems
    assert problem.startswith(f"{path}: line 2: ")


class Restless:
    """A writer that writes whenever somebody has just read."""

    def __init__(self, path: Path, times: int) -> None:
        self.path = path
        self.left = times
        self._fstat = os.fstat
        self._calls = 0

    def __call__(self, descriptor: int) -> os.stat_result:
        self._calls += 1
        if self._calls % 2 == 0 and self.left:  # the look after the reading
            self.left -= 1
            with self.path.open("a") as file:
                file.write(f"sk-000-late-{self.left}\n")
        return self._fstat(descriptor)


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.txt", "sk-000-1\n")
    monkeypatch.setattr(os, "fstat", Restless(path, 1))
    reading = KeySource((path,)).read()
    assert keys(reading) == ["sk-000-1", "sk-000-late-0"]
    assert not reading.unstable


def test_a_file_that_never_holds_still_keeps_its_last_good_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.txt", "sk-000-1\n")
    source = KeySource((path,))
    source.read()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", Restless(path, 10))
        reading = source.read()
    assert keys(reading) == ["sk-000-1"]
    assert reading.unstable
    assert len(source.read().entries) == 1 + keyfiles.READ_TRIES


def test_a_key_that_stays_stays_the_same_object(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "sk-000-1\nsk-000-2\n")
    source = KeySource((path,))
    before = source.read().entries
    write(path, "sk-000-3\nsk-000-2\nsk-000-1 account=a\n")
    new, same, relabelled = source.read().entries
    assert same is before[1]
    assert relabelled == keyfiles.KeyEntry(before[0].secret, {"account": "a"})
    assert new not in before


A, B = Path("a.txt"), Path("b.txt")
ENTRIES = {name: keyfiles.KeyEntry(Secret(f"sk-000-{name}")) for name in "abcdefghijklmnop"}


@pytest.mark.parametrize(
    ("readings", "doubted"),
    [
        ([{A: ""}, {A: "abcd"}], [(), ()]),
        ([{A: "abcd"}, {A: "abc"}, {A: "abefgh"}, {A: "efgh"}], [(), (), (), ()]),
        ([{A: "abcd"}, {A: "a"}, {A: "a"}, {}], [(), (A,), (), (A,)]),
        ([{A: "abcd"}, {A: ""}, {A: ""}], [(), (A,), ()]),
        ([{A: "abcd"}, {}, {}, {A: "abcd"}], [(), (A,), (), ()]),  # gone
        ([{A: "abcd"}, {A: "efgh"}, {A: "efgh"}], [(), (A,), ()]),  # another file in its place
        ([{A: "abcd"}, {A: "aefghijkl"}, {A: "abcd"}, {A: "abcd"}], [(), (A,), (), ()]),
        ([{A: "abcd"}, {A: ""}, {A: "abcd"}, {A: ""}], [(), (A,), (), (A,)]),  # the first loss was only a moment
        ([{A: "abcd"}, {A: "a"}, {A: ""}, {A: ""}], [(), (A,), (A,), ()]),  # still shrinking
        ([{A: "abcd"}, {A: "a"}, {A: "b"}, {A: "b"}], [(), (A,), (A,), ()]),  # as many, but others
        ([{A: "a"}, {A: ""}], [(), (A,)]),
        ([{A: "a", B: "bcdefgh"}, {A: "", B: "bcdefgh"}], [(), (A,)]),  # small beside big
        ([{A: "a", B: "bc"}, {B: "abc"}], [(), ()]),  # moved to the other file
        ([{A: "abc", B: "abcd"}, {A: "abc"}], [(), ()]),  # the other file has nearly all of them, too
        ([{A: "ab", B: "cd"}, {B: "cd"}, {}, {}], [(), (A,), (A, B), ()]),  # one after the other
        ([{A: "ab", B: "cd"}, {B: "cd"}, {A: "ab"}, {A: "ab"}], [(), (A,), (B,), ()]),
    ],
)
def test_a_sudden_loss_in_a_file_is_believed_at_the_second_look(
    readings: list[dict[Path, str]], doubted: list[tuple[Path, ...]]
) -> None:
    """The keys in each file, look by look."""
    guard, believed, found = ShrinkGuard(), "", []
    for reading in readings:
        now = "".join(reading.values())
        gone = {ENTRIES[name].secret for name in set(believed) - set(now)}
        found.append(guard.doubt(guard.losses(gone)))
        if not found[-1]:
            guard.believe({path: tuple(ENTRIES[name] for name in names) for path, names in reading.items()})
            believed = now
    assert found == doubted


def test_a_path_that_is_no_file_name_is_a_problem_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 300)
    source = KeySource((path, write(tmp_path / "b.txt", "sk-000-1")))
    assert len(source.stamp()) == 2
    reading = source.read()
    assert reading.problems == (f"{path}: File name too long",)
    assert keys(reading) == ["sk-000-1"]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("a\nshort account=x\nsk-12345\n", ("keys shorter than 8 characters: 2; ",)),
        ("sk-1234\n", ("keys shorter than 8 characters: 1; ",)),
        ("sk-12345\n", ()),
        ("", ("has no keys",)),
        ("# keys come here\n\n", ("has no keys",)),
    ],
)
def test_short_keys_and_no_keys_are_remarked_upon(tmp_path: Path, text: str, problems: tuple[str, ...]) -> None:
    path = write(tmp_path / "keys.txt", text)
    told = KeySource((path,)).read().problems
    assert len(told) == len(problems)
    assert all(each.startswith(f"{path}: {problem}") for each, problem in zip(told, problems, strict=True))


def test_short_lines_of_other_things_are_none_of_that(tmp_path: Path) -> None:
    path = write(tmp_path / "others.txt", "a\n")
    assert KeySource((path,), noun="others", check=lambda word: None).read().problems == ()
