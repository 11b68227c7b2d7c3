"""A connection to an origin through a proxy: CONNECT (RFC 9110, 9.3.6) or SOCKS5 (RFC 1928).

The proxy is spoken to in the clear, or over TLS ("https://" proxies); TLS to the origin then goes inside, so the proxy
sees a name and bytes. Plain-HTTP origins are reached by a tunnel, too: one way for all, and no key is ever shown to a
proxy that would forward it.

Invariants:
- Whatever goes wrong up to the proxy's consent is a `ProxyError`. After it, what the origin says for itself (a wrong
  certificate, a TLS alert) is a ConnectError; silence and a closed connection are the proxy's, as nobody can tell.
- From the proxy's consent until TLS has taken the connection over, nothing is read: what had come by then was said
  before our ClientHello and is a protocol error, what comes later belongs to TLS. So no byte is lost, and none of the
  proxy's is taken for the origin's.
- `python-socks` is imported when the first SOCKS proxy is used.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from typing import Final, cast

import h11

from gateway.config.proxyurl import SOCKS_HINT, ProxyUrl
from gateway.errors import ConnectError, ProxyError
from gateway.net.dial import Connection, Origin, explain, finish

MAX_HEAD: Final = 16384
"""Bytes of a proxy's answer to CONNECT. Real ones have a few hundred, with an error page's headers a thousand."""

MAX_DETAIL: Final = 200
"""Characters of what a proxy said that go into a message."""

DAY: Final = 86400.0
"""Seconds for python-socks, which would set a limit of its own; the one that counts is around it."""

SOCKS_BEYOND: Final = frozenset({1, 3, 4, 5, 6})
"""Replies that are about the origin: general failure, network or host unreachable, refused, too many hops."""


async def dial_through(
    proxy: ProxyUrl,
    proxy_context: ssl.SSLContext | None,
    origin: Origin,
    context: ssl.SSLContext | None,
    seconds: float,
) -> Connection:
    """A fresh connection to `origin` by way of `proxy`, TLS included where there is a context.

    Raises ProxyError (after `seconds`, too) and ConnectError.
    """
    loop = asyncio.get_running_loop()
    connection = Connection(loop)
    protocol = asyncio.StreamReaderProtocol(connection, loop=loop)
    reached = False
    try:
        async with asyncio.timeout(seconds):
            if proxy.socks:
                reached = True  # or not: python-socks does not say
                line = await _pass_socks(proxy, origin)
                transport, _ = await loop.create_connection(
                    lambda: protocol, sock=line, ssl=context, server_hostname=origin.host if context else None
                )
            else:
                asked = await _reach(proxy, proxy_context)
                reached = True
                await asked.pass_to(origin)
                transport = await _enter(asked.transport, protocol, origin, context)
    except TimeoutError as exc:
        raise ProxyError(f"no way through {proxy} within {seconds:g} s", beyond=reached) from exc
    except OSError as exc:
        raise _explain_end(proxy, origin, exc) from exc
    try:
        return finish(connection, transport, protocol, origin)
    except ConnectError as exc:
        raise ProxyError(exc.message, beyond=True) from exc


class Asked(asyncio.Protocol):
    """A line to an HTTP proxy until it has answered CONNECT. Reading stops with the head of the answer."""

    transport: asyncio.Transport

    def __init__(self, proxy: ProxyUrl) -> None:
        self._proxy = proxy
        self._http = h11.Connection(h11.CLIENT, MAX_HEAD)
        self._received = 0
        self._answer: asyncio.Future[h11.Response | ProxyError] = asyncio.get_running_loop().create_future()

    async def pass_to(self, origin: Origin) -> None:
        """Until the proxy has let us through to `origin`. Raises ProxyError. Whatever ends the wait ends the line."""
        try:
            self.transport.write(build_connect(self._http, origin, self._proxy))
            answer = await self._answer
            if isinstance(answer, ProxyError):
                raise answer
            if not 200 <= answer.status_code < 300:
                raise refusal(self._proxy, origin, answer)
            if self._http.trailing_data[0]:
                raise ProxyError(f"{self._proxy} sent more than its answer to CONNECT")
        except BaseException:
            self.transport.abort()
            raise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        self._http.receive_data(data)
        try:
            while type(event := self._http.next_event()) is h11.InformationalResponse:
                pass
        except h11.RemoteProtocolError as exc:
            self._settle(ProxyError(f"the answer of {self._proxy} is not HTTP", detail=str(exc)[:MAX_DETAIL]))
            return
        if type(event) is h11.Response:
            self.transport.pause_reading()
            self._settle(event)
        elif self._received > MAX_HEAD:
            self._settle(ProxyError(f"the answer of {self._proxy} is too long"))

    def connection_lost(self, exc: Exception | None) -> None:
        detail = str(exc) if exc else ""
        self._settle(
            ProxyError(f"{self._proxy} closed the connection instead of an answer", detail=detail, beyond=True)
        )

    def _settle(self, answer: h11.Response | ProxyError) -> None:
        if not self._answer.done():
            self._answer.set_result(answer)


def build_connect(http: h11.Connection, origin: Origin, proxy: ProxyUrl) -> bytes:
    """The bytes that ask `proxy` for a tunnel, with credentials where it has any (RFC 7617)."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    target = f"{host}:{origin.port}".encode()  # with the port, always (RFC 9112, 3.2.3)
    headers = [(b"host", target)]
    if proxy.user or proxy.password:
        credentials = base64.b64encode(f"{proxy.user}:{proxy.password.reveal()}".encode())
        headers.append((b"proxy-authorization", b"Basic " + credentials))
    asked = http.send(h11.Request(method=b"CONNECT", target=target, headers=headers))
    assert asked is not None
    return asked


def refusal(proxy: ProxyUrl, origin: Origin, answer: h11.Response) -> ProxyError:
    """Why there is no tunnel. A proxy that fails with 5xx may have failed at the origin."""
    status = answer.status_code
    said = f"{status} {answer.reason.decode('latin-1')}".strip()[:MAX_DETAIL]
    if status == 407:
        how = (
            "rejects its user name and password"
            if proxy.user or proxy.password
            else "asks for a user name and password"
        )
        return ProxyError(f"{proxy} {how}", detail=said)
    return ProxyError(f"{proxy} refuses a tunnel to {origin}", detail=said, beyond=status >= 500)


async def _reach(proxy: ProxyUrl, context: ssl.SSLContext | None) -> Asked:
    name = proxy.host if context else None
    try:
        _, asked = await asyncio.get_running_loop().create_connection(
            lambda: Asked(proxy), proxy.host, proxy.port, ssl=context, server_hostname=name
        )
    except (OSError, UnicodeError) as exc:
        raise explain(proxy, exc, ProxyError) from exc
    return asked


async def _enter(
    transport: asyncio.Transport, protocol: asyncio.StreamReaderProtocol, origin: Origin, context: ssl.SSLContext | None
) -> asyncio.Transport:
    """Hand the line, on which nothing is read now, to the connection; with a context, TLS goes between."""
    if context is None:
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()
        return transport
    try:
        loop = asyncio.get_running_loop()
        inner = await loop.start_tls(transport, protocol, context, server_hostname=origin.host)
    except TypeError as exc:
        # asyncio, until 3.11.8 and 3.12.2, trips over a failure of TLS inside TLS (CPython's gh-113214).
        transport.abort()
        raise (exc.__context__ or exc) from None
    except BaseException:
        transport.abort()
        raise
    assert inner is not None
    protocol.connection_made(inner)
    return inner


async def _pass_socks(proxy: ProxyUrl, origin: Origin) -> socket.socket:
    """A socket on which the origin is next to speak or listen. Raises ProxyError, and OSError for the origin's name."""
    try:
        from python_socks import ProxyConnectionError, ProxyType
        from python_socks import ProxyError as Refused
        from python_socks.async_.asyncio import Proxy
    except ImportError as exc:
        raise ProxyError("SOCKS proxies need python-socks", detail=SOCKS_HINT) from exc
    way = Proxy(
        ProxyType.SOCKS5,
        proxy.host,
        proxy.port,
        proxy.user or None,
        proxy.password.reveal() or None,
        rdns=proxy.scheme == "socks5h",
    )
    try:
        return await way.connect(origin.host, origin.port, timeout=DAY)
    except ProxyConnectionError as exc:
        raise ProxyError(f"no connection to {proxy}", detail=str(exc)) from exc
    except Refused as exc:
        beyond = exc.error_code in SOCKS_BEYOND
        raise ProxyError(f"{proxy} refuses a tunnel to {origin}", detail=str(exc), beyond=beyond) from exc
    except ConnectionError as exc:
        raise ProxyError(f"{proxy} closed the connection instead of an answer", detail=str(exc), beyond=True) from exc


def _explain_end(proxy: ProxyUrl, origin: Origin, exc: OSError) -> ConnectError:
    """What ended a tunnel that the proxy had granted."""
    if isinstance(exc, ssl.SSLError) and not isinstance(exc, ssl.SSLEOFError):
        return explain(origin, exc)
    if isinstance(exc, socket.gaierror):
        return explain(origin, exc)  # looked up here, for a "socks5://" proxy
    return ProxyError(f"the tunnel to {origin} through {proxy} broke", detail=str(exc), beyond=True)
