"""Which admin socket a command finds, and what it says of what answers there."""

from __future__ import annotations

import socket
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.cli import admin
from gateway.cli.admin import DaemonError, call, find_socket
from tests.cli.place import empty_place


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    empty_place(tmp_path, monkeypatch)
    monkeypatch.delenv("LLMGATEWAY_SOCKET")
    return tmp_path


def listen(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
    return str(path)


def test_the_first_place_that_has_a_socket_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the last place to the first: each one put in goes before those that are there."""
    real = Path

    def here(*parts: str) -> Path:
        path = real(*parts)
        return folder / "run" if str(path) == "/run/llmgateway" else path

    monkeypatch.setattr(admin, "Path", here)
    monkeypatch.setattr("gateway.cli.demo.demo_folder", lambda: folder / "demo")
    with pytest.raises(DaemonError, match="no running gateway was found"):
        find_socket(None)
    demo = listen(folder / "demo/admin.sock")
    assert find_socket(None) == demo
    with pytest.raises(DaemonError):
        find_socket(None, demo=False)
    state = listen(folder / "state/admin.sock")
    assert find_socket(None) == state
    other = listen(folder / "other/state/admin.sock")
    assert find_socket(None, "other/config.toml") == other
    monkeypatch.setenv("STATE_DIRECTORY", f"{folder}/systemd:{folder}/second")
    assert find_socket(None) == demo
    state = listen(folder / "systemd/admin.sock")
    assert find_socket(None) == state
    system = listen(folder / "run/admin.sock")
    assert find_socket(None) == system
    monkeypatch.setenv("RUNTIME_DIRECTORY", "")
    assert find_socket(None) == system
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{folder}/runtime:{folder}/second")
    assert find_socket(None) == system
    runtime = listen(folder / "runtime/admin.sock")
    assert find_socket(None) == runtime
    monkeypatch.setenv("LLMGATEWAY_SOCKET", "named")
    assert find_socket(None) == "named"
    assert find_socket("said") == "said"


def test_a_file_is_no_socket(folder: Path) -> None:
    (folder / "state").mkdir()
    (folder / "state/admin.sock").touch()
    with pytest.raises(DaemonError, match="no running gateway was found"):
        find_socket(None, demo=False)


def test_a_place_that_may_not_be_looked_into_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(self: Path, **_: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", closed)
    with pytest.raises(DaemonError, match=r"no permission for .*admin\.sock"):
        find_socket(None, demo=False)


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """Something that says this to the first who connects."""
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        bound.listen()

        def serve() -> None:
            connection, _ = bound.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", "the gateway does not answer at"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the gateway does not answer at"),
        (answer(b"<html>"), "is no gateway: status 200 without a JSON object"),
        (answer(b"[1]"), "is no gateway"),
        (answer(b"{}", "500 Oops"), "the gateway answered with status 500"),
        (answer(b'{"error": "no"}', "500 Oops"), "the gateway answered with status 500"),
        (answer(b'{"error": {"message": "Not now."}}', "503 Later"), "Not now."),
    ],
)
def test_what_goes_wrong_has_words(said: bytes, words: str, folder: Path) -> None:
    with answering(folder / "s", said), pytest.raises(DaemonError) as caught:
        call(Namespace(socket=str(folder / "s")), "GET", "/admin/status")
    assert words in str(caught.value)


def test_problems_come_one_by_one(folder: Path) -> None:
    body = b'{"error": {"message": "No.", "problems": ["a", "b"]}}'
    with answering(folder / "s", answer(body, "409 Conflict")), pytest.raises(DaemonError) as caught:
        call(Namespace(socket=str(folder / "s")), "POST", "/admin/reload")
    assert caught.value.problems == ("a", "b")
