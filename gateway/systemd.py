"""The service manager: readiness, watchdog, inherited sockets. Protocols as in sd_notify(3), sd_watchdog_enabled(3)
and sd_listen_fds(3); the unit itself is systemd/llmgateway.service.

Everything here does nothing when systemd is not the parent: the environment, which is an argument, then lacks the
variables. Only inherited sockets can raise, because a service that cannot say how it is can still serve.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

from gateway.config.listen import is_loopback_host
from gateway.errors import StartError

FIRST_SOCKET = 3
"""SD_LISTEN_FDS_START: descriptors after stdin, stdout and stderr."""

SEND_SECONDS = 1.0
"""How long a message may wait for a service manager that is busy. It is local and takes microseconds otherwise."""


def notify(state: str, environ: Mapping[str, str]) -> bool:
    """Tell the service manager: "READY=1", "STOPPING=1", "WATCHDOG=1", several joined by newlines.

    Whether it was told. False without $NOTIFY_SOCKET, and when nobody listens there.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if address.startswith("@"):
        address = "\0" + address[1:]  # unix(7): the abstract namespace
    elif not address.startswith("/"):
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(SEND_SECONDS)
            sender.sendto(state.encode(), address)
    except OSError:
        return False
    return True


def reloading_state() -> str:
    """The message that a reload begins. "READY=1" has to follow when it is over, whether it worked or not."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


def watchdog_interval(environ: Mapping[str, str]) -> float | None:
    """Seconds without "WATCHDOG=1" after which systemd kills us, or None. Half of it is the latest to feed it."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        microseconds = int(environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return microseconds / 1_000_000 if microseconds > 0 else None


def inherited_sockets(environ: Mapping[str, str], first: int = FIRST_SOCKET) -> dict[str, socket.socket]:
    """The listening sockets of a socket unit, by FileDescriptorName=; to be called once.

    Sockets of one unit share its name: the second is "NAME.2", the third "NAME.3", in the unit's order. One without
    a name is "unknown", as systemd calls it. Raises StartError for what is no listening stream socket.
    """
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    try:
        count = int(environ.get("LISTEN_FDS", "0"))
    except ValueError:
        return {}
    names = environ["LISTEN_FDNAMES"].split(":") if "LISTEN_FDNAMES" in environ else []
    sockets: dict[str, socket.socket] = {}
    for n in range(count):
        name = (names[n] if n < len(names) else "") or "unknown"
        sockets[_unused(name, sockets)] = _listening_socket(first + n, name)
    return sockets


def refuse_public(inherited: Mapping[str, socket.socket]) -> None:
    """Raise StartError for a socket that more than this machine can reach: for when auth is off. A socket unit may
    listen anywhere, and the configuration cannot tell."""
    for name, sock in inherited.items():
        if sock.family != socket.AF_UNIX and not is_loopback_host(sock.getsockname()[0]):
            raise StartError(
                f"the inherited socket {name!r} is public while auth is off",
                hint="set auth.required = true and add a [tokens.NAME] table, or bind the socket unit to 127.0.0.1",
            )


def _unused(name: str, taken: Mapping[str, object]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}.{number}"
    return free


def _listening_socket(descriptor: int, name: str) -> socket.socket:
    try:
        inherited = socket.socket(fileno=descriptor)
    except OSError as error:
        raise _unusable(descriptor, name) from error
    try:
        listens = inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        listens = 0
    if inherited.type != socket.SOCK_STREAM or not listens:
        inherited.detach()  # not ours to close
        raise _unusable(descriptor, name)
    inherited.set_inheritable(False)
    inherited.setblocking(False)
    return inherited


def _unusable(descriptor: int, name: str) -> StartError:
    return StartError(
        "systemd handed over something that is no listening stream socket",
        detail=f"descriptor {descriptor}, {name}",
        hint="the socket unit needs ListenStream= and Accept=no",
    )
