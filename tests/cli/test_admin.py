"""Which admin socket a command finds, and what it says of what answers there."""

from __future__ import annotations

import re
import socket
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.cli import admin
from gateway.cli.admin import DaemonError, call, call_for, find_sockets
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
        find_sockets(None)
    demo = listen(folder / "demo/admin.sock")
    with pytest.raises(DaemonError):  # the gateway of the configuration that is here was meant
        find_sockets(None)
    (folder / "config.toml").unlink()
    assert find_sockets(None)[0] == demo
    with pytest.raises(DaemonError):
        find_sockets(None, demo=False)
    listen(folder / "state/admin.sock")
    assert find_sockets(None)[0] == "state/admin.sock"
    other = listen(folder / "other/state/admin.sock")
    assert find_sockets(None, "other/config.toml")[0] == other
    monkeypatch.setenv("STATE_DIRECTORY", f"{folder}/systemd:{folder}/second")
    assert find_sockets(None)[0] == demo
    state = listen(folder / "systemd/admin.sock")
    assert find_sockets(None)[0] == state
    system = listen(folder / "run/admin.sock")
    assert find_sockets(None)[0] == system
    monkeypatch.setenv("RUNTIME_DIRECTORY", "")
    assert find_sockets(None)[0] == system
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{folder}/runtime:{folder}/second")
    assert find_sockets(None)[0] == system
    runtime = listen(folder / "runtime/admin.sock")
    assert find_sockets(None)[0] == runtime
    monkeypatch.setenv("LLMGATEWAY_SOCKET", "named")
    assert find_sockets(None)[0] == "named"
    assert find_sockets("said")[0] == "said"


def test_all_places_that_have_a_socket_are_known_in_their_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{folder}/runtime")
    places = [listen(folder / "runtime/admin.sock"), listen(folder / "other/state/admin.sock")]
    assert [place for place in find_sockets(None, "other/config.toml", demo=False) if str(folder) in place] == places


def test_a_file_is_no_socket(folder: Path) -> None:
    (folder / "state").mkdir()
    (folder / "state/admin.sock").touch()
    with pytest.raises(DaemonError, match="no running gateway was found"):
        find_sockets(None, demo=False)


def test_a_place_that_may_not_be_looked_into_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(self: Path, **_: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", closed)
    with pytest.raises(DaemonError, match=r"no permission for .*admin\.sock"):
        find_sockets(None, demo=False)


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """Something that says this to the first who connects."""
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        bound.listen()

        def serve() -> None:
            connection, _ = bound.accept()
            with connection:
                request = b""
                while not whole(request):
                    request += connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def whole(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(end) and len(body) >= int(length[1] if length else 0)


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


OTHER = answer(b'{"error": {"message": "Not mine.", "code": "other_config"}}', "409 Conflict")
BROKEN = answer(b'{"error": {"message": "No.", "code": "config_error", "problems": ["a"]}}', "409 Conflict")


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (OTHER, answer(b'{"changed": []}'), "{'changed': []}"),
        (b"", answer(b'{"changed": []}'), "{'changed': []}"),
        (OTHER, OTHER, "no gateway that runs uses this configuration: config.toml"),
        (OTHER, b"", "no gateway that runs uses this configuration: config.toml"),
        (OTHER, BROKEN, "No."),
    ],
)
def test_the_gateway_of_a_file_is_looked_for_in_all_places(
    first: bytes, second: bytes, outcome: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [folder / "1", folder / "2"]
    monkeypatch.setattr(admin, "find_sockets", lambda *_, **__: list(map(str, places)))
    with answering(places[0], first), answering(places[1], second):
        try:
            said = str(call_for(Path("config.toml"), Namespace(socket=None, config=None), "/admin/reload"))
        except DaemonError as error:
            said = str(error)
    assert said == outcome


def test_a_gateway_that_refuses_is_the_right_one_and_no_other_is_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "find_sockets", lambda *_, **__: [str(folder / "1"), str(folder / "2")])
    with answering(folder / "1", BROKEN), pytest.raises(DaemonError) as caught:
        call_for(Path("config.toml"), Namespace(socket=None, config=None), "/admin/reload")
    assert caught.value.problems == ("a",)


def test_problems_come_one_by_one(folder: Path) -> None:
    body = b'{"error": {"message": "No.", "problems": ["a", "b"]}}'
    with answering(folder / "s", answer(body, "409 Conflict")), pytest.raises(DaemonError) as caught:
        call(Namespace(socket=str(folder / "s")), "POST", "/admin/reload")
    assert caught.value.problems == ("a", "b")
