"""What a proxy's URL means: scheme, host, port, user and password.

Pure: names are not looked up. Everything between the first colon behind the scheme's user and the last "@" is the
password, so characters that a URL would have escaped ("/", "#", "@") may stand as they are; escapes are undone.
No message and no text made here shows the password.
"""

from __future__ import annotations

import hashlib
from dataclasses import field
from typing import Final
from urllib.parse import quote, unquote

from gateway.config.listen import TCP, is_host, is_ipv6
from gateway.quick import dataclass
from gateway.secret import Secret

HTTP: Final = ("http", "https")
SOCKS: Final = ("socks5", "socks5h")

SOCKS_HINT: Final = "pip install 'llmgateway[socks]'"

MAX_SOCKS_WORD: Final = 255
"""Bytes of a user name or password: RFC 1929 keeps their length in one byte."""


@dataclass(frozen=True, slots=True)
class ProxyUrl:
    """One proxy. `host` is lower-case ASCII, an IPv6 address without brackets; `user` is "" when it asks for none.

    The scheme says how the proxy is spoken to: CONNECT in the clear ("http") or over TLS ("https"), or SOCKS5 with
    the origin's name looked up here ("socks5") or there ("socks5h"). Two URLs are equal when all of this is.
    """

    scheme: str = field(compare=False)
    host: str = field(compare=False)
    port: int = field(compare=False)
    user: str = field(default="", compare=False)
    password: Secret = field(default_factory=lambda: Secret(""), compare=False)
    digest: bytes = field(init=False, repr=False)
    """SHA-256 of the whole URL: the same in every process, and what the database knows the proxy by. The password is
    in it, since some vendors choose the exit by it."""

    def __post_init__(self) -> None:
        whole = f"{self.scheme}://{quote(self.user)}:{quote(self.password.reveal())}@{self.authority}"
        object.__setattr__(self, "digest", hashlib.sha256(whole.encode()).digest())

    @classmethod
    def parse(cls, text: str) -> ProxyUrl:
        """The meaning of "http://user:password@host:port". Raises ValueError with words for the operator."""
        scheme, separator, rest = text.strip().partition("://")
        scheme = scheme.lower()
        if not separator or scheme not in HTTP + SOCKS:
            raise ValueError("the proxy's URL must begin with http://, https://, socks5:// or socks5h://")
        credentials, _, address = rest.rpartition("@")
        user, _, password = credentials.partition(":")
        user, password = unquote(user), unquote(password)
        _check_credentials(scheme, user, password)
        return cls(scheme, *_parse_address(address), user, Secret(password))

    @property
    def authority(self) -> str:
        """host:port"""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def socks(self) -> bool:
        return self.scheme in SOCKS

    @property
    def fingerprint(self) -> str:
        """Enough to recognise the proxy, without its password: vendors put the session into the user's name."""
        credentials = f"{quote(self.user)}:****@" if self.user or self.password else ""
        return f"{self.scheme}://{credentials}{self.authority}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def socks_installed() -> bool:
    """Whether the library for SOCKS proxies is there. It is imported only when one is used."""
    from importlib.util import find_spec

    try:
        return find_spec("python_socks") is not None
    except ValueError:  # what the import system says of a module that was blocked
        return False


def _check_credentials(scheme: str, user: str, password: str) -> None:
    if not (user + password).isprintable():
        raise ValueError("the proxy's user name and password must not contain control characters")
    if scheme in HTTP:
        if ":" in user:
            raise ValueError("the proxy's user name must not contain a colon")  # RFC 7617, section 2
        return
    if bool(user) != bool(password):
        raise ValueError("a SOCKS proxy needs both a user name and a password, or neither")
    if not (user + password).isascii() or max(len(user), len(password)) > MAX_SOCKS_WORD:
        raise ValueError(f"a SOCKS proxy's user name and password are ASCII, up to {MAX_SOCKS_WORD} characters each")


def _parse_address(text: str) -> tuple[str, int]:
    match = TCP.fullmatch(text.removesuffix("/"))
    if match is None:
        raise ValueError("the proxy's URL must end in host:port")
    port = int(match["port"])
    if not 0 < port < 65536:
        raise ValueError("the proxy's port must be from 1 to 65535")
    if match["v6"] is not None:
        if not is_ipv6(match["v6"]):
            raise ValueError("the proxy's host is no IPv6 address")
        return match["v6"].lower(), port
    try:
        host = match["host"].encode("idna").decode().lower()
    except UnicodeError:
        host = ""
    if not is_host(host):
        raise ValueError("the proxy's host is not valid")
    return host, port
