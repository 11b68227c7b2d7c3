"""Who may speak to us at all, before any credential is looked at: Host, Origin, and forwarding headers.

Without auth on loopback every web page that the operator opens could call the gateway, by a form, by `fetch` or by
DNS rebinding; and a reverse proxy would open it to the world. So there, only the loopback names are answered, an
unlisted Origin is refused, and so is whatever was forwarded. (CONTRACT: `[server]`, `[auth] required`.)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address, ip_network

from gateway.config.model import ServerConfig
from gateway.errors import RequestError

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
FORWARDING = (
    b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip", b"x-client-ip",
    b"true-client-ip", b"cf-connecting-ip", b"via",
)  # fmt: skip
"""What reverse proxies and tunnels add; one of these is enough to know one."""

PREFLIGHT_SECONDS = b"600"


class Guard:
    """The rules for one configuration. `open`: auth is off."""

    def __init__(self, config: ServerConfig, *, auth_on: bool) -> None:
        self._open = not auth_on
        self._hosts = frozenset(host.lower() for host in config.allowed_hosts)
        self._origins = frozenset(config.cors_origins)
        self._networks = [ip_network(entry, strict=False) for entry in config.trusted_proxies]
        self._client = lru_cache(maxsize=1024)(self._is_trusted)

    def check(self, fields: Mapping[bytes, bytes], peer: str) -> None:
        """Raises RequestError 403 for what must not be answered. A Unix socket's peer is `unix`."""
        if peer != "unix":
            self._check_host(fields.get(b"host", b""))
        origin = fields.get(b"origin")
        if origin is not None and self._open and not self.allows_origin(origin):
            raise RequestError(
                403, "permission_denied", "This Origin is not listed in server.cors_origins.", kind="permission_error"
            )
        if self._open and origin is None and fields.get(b"sec-fetch-site") == b"cross-site":  # W3C Fetch Metadata
            raise RequestError(
                403, "permission_denied", "Another site's page may not send requests here.", kind="permission_error"
            )
        if self._open and not self._client(peer):
            for name in FORWARDING:
                if name in fields:
                    raise RequestError(
                        403,
                        "permission_denied",
                        "Forwarded requests are refused while auth is off: turn auth on, "
                        "or list the proxy in server.trusted_proxies.",
                        kind="permission_error",
                    )

    def allows_origin(self, origin: bytes) -> bool:
        return "*" in self._origins or origin.decode("latin-1") in self._origins

    def client_address(self, fields: Mapping[bytes, bytes], peer: str) -> str:
        """The client's address: behind a trusted proxy the last one in X-Forwarded-For that is not a proxy itself."""
        forwarded = fields.get(b"x-forwarded-for")
        if forwarded is None or not self._client(peer):
            return peer
        for entry in reversed(forwarded.decode("latin-1").split(",")):
            address = entry.strip()
            if not self._client(address):
                return address[:64] or peer
        return peer

    def cors_headers(self, origin: bytes | None) -> tuple[tuple[bytes, bytes], ...]:
        """What a browser wants to see on an answer. https://fetch.spec.whatwg.org/#http-cors-protocol"""
        if origin is None or not self._origins or not self.allows_origin(origin):
            return ()
        return (
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", b"*"),
            (b"vary", b"origin"),
        )

    def preflight_headers(self, fields: Mapping[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
        """The answer to an OPTIONS request of a listed origin; empty for any other."""
        headers = self.cors_headers(fields.get(b"origin"))
        if not headers:
            return ()
        wanted = fields.get(b"access-control-request-headers", b"authorization, content-type")
        return (
            *headers,
            (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            (b"access-control-allow-headers", wanted),
            (b"access-control-max-age", PREFLIGHT_SECONDS),
        )

    def _check_host(self, value: bytes) -> None:
        if not self._hosts and not self._open:
            return
        host = value.decode("latin-1").lower()
        name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
        if name in self._hosts or (not self._hosts and name in LOOPBACK_HOSTS):
            return
        raise RequestError(
            403,
            "permission_denied",
            f"The Host {name[:100]!r} is not answered here; see server.allowed_hosts.",
            kind="permission_error",
        )

    def _is_trusted(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)
