"""Listening sockets out of what `config/listen.py` parsed. Accepting on them is `server.py`'s affair."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Mapping

from gateway.config.listen import Listener
from gateway.errors import AddressTaken, StartError

WHEN_TAKEN = "another process listens there; stop it, or change listen under [server]"
WHEN_FORBIDDEN = "ports below 1024 need CAP_NET_BIND_SERVICE; a Unix socket needs a folder that may be written to"

ANSWER_SECONDS = 1.0
"""How long a Unix socket that is there already may take to accept. It is local and takes microseconds."""


async def open_sockets(listener: Listener, mode: int, inherited: Mapping[str, socket.socket]) -> list[socket.socket]:
    """The bound sockets of an address: one for Unix and inherited ones, one for each address of a host name.

    `mode` is the access to a Unix socket's file. Raises StartError, of which AddressTaken is one.
    """
    if listener.kind == "fd":
        return [_take_inherited(listener.path, inherited)]
    if listener.kind == "unix":
        return [_bind_unix(listener.path, mode)]
    return await _bind_tcp(listener.host, listener.port)


def address_of(bound: socket.socket) -> str:
    """Where a socket really listens, written as in `server.listen`."""
    name = bound.getsockname()
    if bound.family == socket.AF_UNIX:
        return f"unix:{os.fsdecode(name)}"
    return f"[{name[0]}]:{name[1]}" if bound.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"


def remove_socket_file(path: str, inode: int) -> None:
    """Remove a Unix socket's file, unless somebody else has put another in its place."""
    try:
        if os.lstat(path).st_ino == inode:
            os.unlink(path)  # noqa: PTH108
    except FileNotFoundError:
        pass


def _take_inherited(name: str, inherited: Mapping[str, socket.socket]) -> socket.socket:
    if name not in inherited:
        raise StartError(
            f"no socket named {name!r} was inherited",
            detail=f"inherited: {', '.join(inherited) or 'none'}",
            hint="set FileDescriptorName= in the socket unit",
        )
    return inherited[name].dup()  # the original stays for when it is listened on again


async def _bind_tcp(host: str, port: int) -> list[socket.socket]:
    """All addresses of the host. One that this machine does not have is left out as long as another is there."""
    import asyncio

    try:
        infos = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as exc:
        raise StartError(f"cannot listen on {host}", detail=exc.strerror or str(exc)) from exc
    sockets: list[socket.socket] = []
    missing: StartError | None = None
    for family, _, _, _, address in dict.fromkeys(infos):
        try:
            sockets.append(_bind(family, (address[0], port or _port_of(sockets), *address[2:])))
        except OSError as exc:
            failure = refusal(f"{host}:{port}", exc)
            failure.__cause__ = exc
            if exc.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                _close(sockets)
                raise failure from exc
            missing = failure
    if missing is not None and not sockets:
        raise missing
    return sockets


def _bind(family: int, address: tuple[object, ...]) -> socket.socket:
    # TCP by name: asyncio switches Nagle's algorithm off only where it knows that, and accepted sockets inherit it.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
    except BaseException:
        bound.close()
        raise
    return bound


def _bind_unix(path: str, mode: int) -> socket.socket:
    _remove_stale(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.setblocking(False)
        bound.bind(path)
        os.chmod(path, mode)  # noqa: PTH101 - before listen(), so nobody gets in on the default mode
    except OSError as exc:
        bound.close()
        raise refusal(path, exc) from exc
    return bound


def _remove_stale(path: str) -> None:
    """Remove what a killed process left; a socket on which somebody answers, or another file, is not ours to take."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise StartError(f"cannot listen on {path}", detail="it exists and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(ANSWER_SECONDS)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108
            return
        except FileNotFoundError:
            return
        except OSError as exc:
            raise StartError(f"cannot listen on {path}", detail=exc.strerror or str(exc)) from exc
    raise AddressTaken(f"cannot listen on {path}", detail="another process answers there", hint=WHEN_TAKEN)


def _port_of(sockets: list[socket.socket]) -> int:
    """With port 0, all addresses of a name get the port that the first one was given."""
    return int(sockets[0].getsockname()[1]) if sockets else 0


def _close(sockets: list[socket.socket]) -> None:
    for bound in sockets:
        bound.close()


def refusal(address: str, exc: OSError) -> StartError:
    """What the kernel's refusal of an address means to the operator."""
    message, detail = f"cannot listen on {address}", exc.strerror or str(exc)
    if exc.errno == errno.EADDRINUSE:
        return AddressTaken(message, detail=detail, hint=WHEN_TAKEN)
    return StartError(message, detail=detail, hint=WHEN_FORBIDDEN if exc.errno == errno.EACCES else "")
