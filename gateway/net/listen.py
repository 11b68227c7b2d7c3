"""From a listen address to bound sockets."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

from gateway.config.listen import Listener, parse_listen
from gateway.errors import StartError

CLIENTS_MODE = 0o666
"""Of a Unix socket for clients. The folder's mode narrows it down where that is wanted."""


def bind(spec: str, inherited: Mapping[str, socket.socket], mode: int = CLIENTS_MODE) -> list[socket.socket]:
    """The sockets of one address, bound, not yet listening. A name may mean several (localhost: IPv4 and IPv6).

    Raises StartError when the address is taken, not ours, or not allowed.
    """
    try:
        listener = parse_listen(spec)
    except ValueError as error:
        raise StartError(f"the listen address {spec!r} {error}") from None
    try:
        if listener.kind == "unix":
            return [_bind_unix(Path(listener.path), mode)]
        if listener.kind == "fd":
            return [_take_inherited(listener, inherited)]
        return _bind_tcp(listener)
    except OSError as error:
        raise StartError(f"cannot listen on {spec}", detail=str(error), hint=_hint(error)) from error


def _bind_tcp(listener: Listener) -> list[socket.socket]:
    found = socket.getaddrinfo(listener.host or None, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    port = listener.port
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                sock = socket.socket(family, kind, protocol)
            except OSError:
                continue  # a machine without IPv6
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind((address[0], port, *address[2:]))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL or len(found) == 1:
                    raise
                sockets.pop().close()  # localhost is ::1 too, but this machine has no ::1
                continue
            port = sock.getsockname()[1]  # with port 0 all families share the one that was given
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    if not sockets:
        raise OSError(errno.EADDRNOTAVAIL, f"no address of {listener.host!r} is this machine's")
    return sockets


def _bind_unix(path: Path, mode: int) -> socket.socket:
    """A socket file that a dead process left is taken away; one that answers is somebody else's."""
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
            else:
                raise OSError(errno.EADDRINUSE, "another process answers on this socket")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o777 & ~mode)
    try:
        sock.bind(str(path))
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(umask)
    return sock


def _take_inherited(listener: Listener, inherited: Mapping[str, socket.socket]) -> socket.socket:
    sock = inherited.get(listener.path)
    if sock is None:
        names = ", ".join(sorted(inherited)) or "none"
        raise OSError(errno.ENOENT, f"no socket called {listener.path!r} was inherited (there are: {names})")
    return sock


def _hint(error: OSError) -> str:
    return {
        errno.EADDRINUSE: "another process has it: perhaps a gateway that is running already",
        errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE; a socket file needs a folder one may write to",
        errno.EADDRNOTAVAIL: "this machine does not have that address",
    }.get(error.errno or 0, "")
