from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.config.model import ServerConfig
from gateway.errors import ConfigError, StartError
from gateway.systemd import inherited_sockets, notify, reloading_state, watchdog_interval

PID = str(os.getpid())
ROOT = Path(__file__).parent.parent
UNIT = ROOT / "systemd" / "llmgateway.service"


def manager(address: str) -> socket.socket:
    """The service manager's end of $NOTIFY_SOCKET."""
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.settimeout(10)
    receiver.bind(address)
    return receiver


def test_a_message_reaches_a_socket_file(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with manager(path) as receiver:
        assert notify("READY=1\nSTATUS=serving", {"NOTIFY_SOCKET": path})
        assert receiver.recv(4096) == b"READY=1\nSTATUS=serving"


def test_a_message_reaches_an_abstract_socket() -> None:
    name = f"llmgateway-test-{PID}"
    with manager("\0" + name) as receiver:
        assert notify("WATCHDOG=1", {"NOTIFY_SOCKET": "@" + name})
        assert receiver.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    "environ",
    [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "vsock:2:1234"},
     {"NOTIFY_SOCKET": "/nonexistent/notify"}, {"NOTIFY_SOCKET": "/" + "x" * 200}],
)  # fmt: skip
def test_without_a_listener_nothing_happens(environ: dict[str, str]) -> None:
    assert not notify("READY=1", environ)


def test_a_reload_begins_with_the_monotonic_time_in_microseconds() -> None:
    first, second = (re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", reloading_state()) for _ in range(2))
    assert first and second
    assert int(first[1]) <= int(second[1])


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": PID}, 0.5),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),  # meant for our parent
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdogs_interval(environ: dict[str, str], seconds: float | None) -> None:
    assert watchdog_interval(environ) == seconds


class Handover:
    """Descriptors as systemd leaves them: one after the other from `first` on."""

    def __init__(self) -> None:
        self.first = 200
        self.opened: list[int] = []

    def add(self, source: int) -> None:
        self.opened.append(os.dup2(source, self.first + len(self.opened), inheritable=True))

    def listen(self, *families: int) -> None:
        for family in families:
            with socket.socket(family) as listener:
                listener.bind(("::1", 0) if family == socket.AF_INET6 else ("127.0.0.1", 0))
                listener.listen()
                self.add(listener.fileno())

    def environ(self, names: str | None = None) -> dict[str, str]:
        environ = {"LISTEN_PID": PID, "LISTEN_FDS": str(len(self.opened))}
        return environ if names is None else environ | {"LISTEN_FDNAMES": names}


@pytest.fixture
def handover() -> Iterator[Handover]:
    given = Handover()
    yield given
    for descriptor in given.opened:
        try:
            os.close(descriptor)
        except OSError:
            pass


@pytest.mark.parametrize(
    ("names", "known_as"),
    [
        ("web:admin", ["web", "admin"]),
        ("web:web", ["web", "web.2"]),
        ("web", ["web", "unknown"]),
        (":", ["unknown", "unknown.2"]),
        (None, ["unknown", "unknown.2"]),
    ],
)
def test_sockets_are_known_by_their_names(handover: Handover, names: str | None, known_as: list[str]) -> None:
    handover.listen(socket.AF_INET, socket.AF_INET)
    sockets = inherited_sockets(handover.environ(names), handover.first)
    assert list(sockets) == known_as
    assert [inherited.fileno() for inherited in sockets.values()] == handover.opened
    for inherited in sockets.values():
        assert not inherited.get_inheritable()
        assert not inherited.getblocking()
        inherited.close()


def test_an_inherited_socket_accepts_connections(handover: Handover) -> None:
    handover.listen(socket.AF_INET)
    (inherited,) = inherited_sockets(handover.environ("web"), handover.first).values()
    with inherited, socket.create_connection(inherited.getsockname()):
        inherited.setblocking(True)
        inherited.accept()[0].close()


@pytest.mark.parametrize(
    "environ",
    [{}, {"LISTEN_FDS": "1"}, {"LISTEN_FDS": "1", "LISTEN_PID": "1"}, {"LISTEN_FDS": "x", "LISTEN_PID": PID},
     {"LISTEN_PID": PID}],
)  # fmt: skip
def test_sockets_meant_for_nobody_or_another_process_are_left_alone(environ: dict[str, str]) -> None:
    assert inherited_sockets(environ) == {}


def test_a_file_is_no_listening_socket(handover: Handover, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        handover.add(file.fileno())
    with pytest.raises(StartError, match="no listening stream socket: descriptor 200, web"):
        inherited_sockets(handover.environ("web"), handover.first)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_socket_that_does_not_listen_is_refused(handover: Handover, kind: int) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        handover.add(other.fileno())
    with pytest.raises(StartError):
        inherited_sockets(handover.environ("web"), handover.first)


def test_a_real_handover_to_another_process() -> None:
    """The descriptor number is systemd's own, 3, and the process id is the child's."""
    child = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3)\n"
        "from gateway.systemd import inherited_sockets\n"
        "environ = {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1', 'LISTEN_FDNAMES': 'web'}\n"
        "print(inherited_sockets(environ)['web'].getsockname()[1])\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        output = subprocess.run(
            [sys.executable, "-c", child, str(listener.fileno())],
            pass_fds=[listener.fileno()], capture_output=True, text=True, timeout=20, check=True,
            cwd=ROOT,
        ).stdout  # fmt: skip
        assert int(output) == listener.getsockname()[1]


def settings() -> dict[str, str]:
    lines = UNIT.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_the_unit_stops_later_than_requests_are_drained() -> None:
    assert float(settings()["TimeoutStopSec"]) > ServerConfig().drain_timeout


def test_the_unit_restarts_but_where_only_a_person_can_help() -> None:
    assert settings()["Restart"] == "on-failure"
    assert settings()["RestartPreventExitStatus"] == str(ConfigError([]).exit_code)


def test_every_hardening_line_of_the_unit_says_why() -> None:
    lines = UNIT.read_text().partition("# Hardening.")[2].partition("[Install]")[0].splitlines()[2:]
    uncommented = [line for before, line in pairwise(lines) if "=" in line[:30] and not before.startswith("# ")]
    assert [line for line in uncommented if not line.startswith("#")] == []


def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed here")
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^ExecStart=.*", f"ExecStart={sys.executable}", UNIT.read_text()))
    checked = subprocess.run([analyze, "verify", unit], check=False, capture_output=True, text=True, timeout=20)
    assert (checked.returncode, checked.stderr) == (0, "")
