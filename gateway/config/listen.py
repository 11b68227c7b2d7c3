"""What a listen address means: "host:port", "[::1]:8000", "unix:/path", "fd:NAME".

Pure: names are not looked up, nothing is bound.
"""

from __future__ import annotations

import re

from gateway.quick import dataclass

TCP = re.compile(r"(\[(?P<v6>[^\]]*)\]|(?P<host>[^:\[\]]*)):(?P<port>[0-9]{1,5})", re.ASCII)
HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*"
)
FD_NAME = re.compile(r"[!-9;-~]{1,255}")  # systemd.socket(5), FileDescriptorName=: printable ASCII without a colon
MAX_UNIX_PATH = 107  # unix(7): sun_path has 108 bytes with its NUL


@dataclass(frozen=True, slots=True)
class Listener:
    """One address. `kind` is "tcp" (host without brackets, port), "unix" or "fd" (path: the file, or the name)."""

    kind: str
    host: str = ""
    port: int = 0
    path: str = ""


def parse_listen(spec: str) -> Listener:
    """The meaning of one `server.listen` entry. Raises ValueError with words for the operator."""
    kind, _, rest = spec.partition(":")
    if kind == "unix":
        if not rest:
            raise ValueError("names no socket file")
        if len(rest.encode()) > MAX_UNIX_PATH:
            raise ValueError(f"is longer than the {MAX_UNIX_PATH} bytes that a socket's path may have")
        return Listener("unix", path=rest)
    if kind == "fd":
        if not FD_NAME.fullmatch(rest):
            raise ValueError("names no inherited socket")
        return Listener("fd", path=rest)
    match = TCP.fullmatch(spec)
    if match is None:
        raise ValueError("is not host:port")
    host, port = match["v6"] if match["v6"] is not None else match["host"], int(match["port"])
    if port > 65535:
        raise ValueError("has a port above 65535")
    if not (is_ipv6(host) if match["v6"] is not None else is_host(host)):
        raise ValueError("has no valid host")
    return Listener("tcp", host=host.lower(), port=port)


def overlap(one: Listener, other: Listener) -> bool:
    """Whether the two cannot be bound side by side: the same place, or one of them is every address of a family.

    What names stand for is not known here, but for localhost. Port 0 is another port each time.
    """
    if one.kind != "tcp" or other.kind != "tcp":
        return one == other
    if one.port != other.port or not one.port:
        return False
    here, there = _address(one.host), _address(other.host)
    return here == there or _covers(here, there) or _covers(there, here)


def _address(host: str) -> str:
    """A host in its shortest form."""
    from socket import AF_INET6, inet_ntop, inet_pton

    if ":" in host:
        address, percent, zone = host.partition("%")
        return inet_ntop(AF_INET6, inet_pton(AF_INET6, address)) + percent + zone
    return "127.0.0.1" if host == "localhost" else host


def _covers(wide: str, address: str) -> bool:
    # net/listen.py sets IPV6_V6ONLY: "::" takes no IPv4.
    return (wide == "0.0.0.0" and _is_ipv4(address)) or (wide == "::" and ":" in address)  # noqa: S104 - compared


def is_loopback_listener(spec: str) -> bool:
    """Whether only this machine can reach a listener: loopback addresses, localhost, Unix sockets.

    An inherited socket counts, since its address is unknown here: whoever takes it over checks its real address
    with `is_loopback_host`. A malformed spec does not count.
    """
    try:
        listener = parse_listen(spec)
    except ValueError:
        return False
    return listener.kind != "tcp" or is_loopback_host(listener.host)


def is_loopback_host(host: str) -> bool:
    """Whether a host, without brackets, is loopback: 127.0.0.0/8, ::1 or localhost (RFC 6761, section 6.3)."""
    from socket import AF_INET6, inet_pton

    if ":" in host:
        return is_ipv6(host) and inet_pton(AF_INET6, host.partition("%")[0]) == bytes(15) + b"\x01"
    return host.lower() == "localhost" or (host.startswith("127.") and _is_ipv4(host))


def is_host(host: str) -> bool:
    """Whether a text is a host name or an IPv4 address; what is all digits and dots must be the latter."""
    if not host.strip("0123456789."):
        return _is_ipv4(host)
    return HOST_NAME.fullmatch(host) is not None


def is_network(text: str) -> bool:
    """Whether a text is an address or a network, such as 10.0.0.0/8; bits beyond the mask do not matter."""
    from ipaddress import ip_network

    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_ipv4(host: str) -> bool:
    parts = host.split(".")
    return len(parts) == 4 and all(part.isascii() and part.isdigit() and int(part[:4]) < 256 for part in parts)


def is_ipv6(host: str) -> bool:
    """Whether a text is an IPv6 address without brackets, with or without a zone."""
    from socket import AF_INET6, inet_pton

    try:
        inet_pton(AF_INET6, host.partition("%")[0])
    except (OSError, ValueError):
        return False
    return True
