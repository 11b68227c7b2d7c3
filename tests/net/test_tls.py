"""TLS for clients: certificates and their renewal, and those who speak the wrong protocol."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from gateway.config.model import ServerConfig, TlsConfig
from gateway.errors import ConfigError
from gateway.net.connection import Reply, Request
from gateway.net.tls import server_context
from tests.net.raw import GET, connecting_tls, post
from tests.net.scripted import both_loops
from tests.net.serving import BIG, SHORT, TEXT, Handling, mirror, serving


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certificate(ca: trustme.CA, tmp_path: Path) -> TlsConfig:
    config = TlsConfig(cert=str(tmp_path / "cert.pem"), key=str(tmp_path / "key.pem"))
    issue(ca, config)
    return config


def issue(ca: trustme.CA, config: TlsConfig) -> None:
    """A new certificate, where the old one was."""
    issued = ca.issue_cert("localhost")
    Path(config.cert).write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(config.key)


def trusting(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


@both_loops
async def test_requests_are_served_over_tls(ca: trustme.CA, certificate: TlsConfig) -> None:
    async def secured(request: Request, reply: Reply) -> None:
        assert request.secure
        assert request.peer == "127.0.0.1"
        await mirror(request, reply)

    async with serving(secured, tls=certificate) as served:
        async with connecting_tls(served.address, trusting(ca)) as (client, _):
            for body in (b"hello", bytes(BIG), b""):
                await client.send(post(body))
                assert (await client.read_answer()).body == body
        await served.wait_quiet()


@both_loops
async def test_only_http_1_1_and_tls_1_2_or_later_are_agreed_to(ca: trustme.CA, certificate: TlsConfig) -> None:
    context = trusting(ca)
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with serving(tls=certificate) as served:
        _, writer = await asyncio.open_connection(*served.address.split(":"), ssl=context, server_hostname="localhost")
        agreed: Any = writer.get_extra_info("ssl_object")
        assert agreed.selected_alpn_protocol() == "http/1.1"
        assert agreed.version() in ("TLSv1.2", "TLSv1.3")
        writer.transport.abort()


@both_loops
async def test_a_renewed_certificate_is_shown_to_new_connections(ca: trustme.CA, certificate: TlsConfig) -> None:
    async with (
        serving(mirror, tls=certificate) as served,
        connecting_tls(served.address, trusting(ca)) as (old, shown),
    ):
        issue(ca, certificate)
        served.server.reconfigure(ServerConfig(tls=certificate))
        async with connecting_tls(served.address, trusting(ca)) as (_, shown_then):
            assert shown_then != shown
        await old.send(post(b"hello"))
        assert (await old.read_answer()).body == b"hello"


@pytest.mark.parametrize("broken", ["cert", "key"])
@both_loops
async def test_a_broken_renewal_changes_nothing(ca: trustme.CA, certificate: TlsConfig, broken: str) -> None:
    async with serving(tls=certificate, max_body_bytes=2048) as served:
        async with connecting_tls(served.address, trusting(ca)) as (_, shown):
            pass
        issued = ca.issue_cert("localhost")
        if broken == "cert":
            Path(certificate.cert).write_text("nonsense")
        else:
            issued.private_key_pem.write_to_path(certificate.key)  # of another certificate
        with pytest.raises(ConfigError) as caught:
            served.server.reconfigure(ServerConfig(tls=certificate, max_body_bytes=1024))
        assert caught.value.problems
        async with connecting_tls(served.address, trusting(ca)) as (client, shown_then):
            assert shown_then == shown
            await client.send(post(bytes(2000)))
            assert (await client.read_answer()).status == 200


@both_loops
async def test_tls_is_not_switched_while_running(certificate: TlsConfig) -> None:
    async with serving() as served:
        with pytest.raises(ConfigError):
            served.server.reconfigure(ServerConfig(tls=certificate))
        assert (await served.exchange(GET)).status == 200


@pytest.mark.parametrize("missing", ["cert", "key"])
def test_a_certificate_that_is_not_there_is_a_problem_of_the_configuration(
    certificate: TlsConfig, missing: str
) -> None:
    Path(getattr(certificate, missing)).unlink()
    with pytest.raises(ConfigError) as caught:
        server_context(certificate)
    assert "server.tls" in str(caught.value)


def test_a_key_with_a_pass_phrase_is_refused_instead_of_asked_for(ca: trustme.CA, certificate: TlsConfig) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(Path(certificate.key).read_bytes(), None)
    Path(certificate.key).write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ConfigError):
        server_context(certificate)


@both_loops
async def test_plain_http_on_a_tls_port_ends_the_connection(ca: trustme.CA, certificate: TlsConfig) -> None:
    async with serving(tls=certificate) as served:
        async with served.connecting() as client:
            await client.send(GET)
            assert b"HTTP" not in await client.read_to_end()
        async with connecting_tls(served.address, trusting(ca)) as (other, _):
            await other.send(GET)
            assert (await other.read_answer()).status == 200


@both_loops
async def test_tls_on_a_plain_port_ends_the_connection(ca: trustme.CA) -> None:
    async with serving() as served:
        with pytest.raises(ssl.SSLError):
            async with connecting_tls(served.address, trusting(ca)):
                pass
        assert (await served.exchange(GET)).status == 200


@pytest.mark.parametrize("where", ["before", "between", "writing"])
@both_loops
async def test_a_tls_client_that_goes_away_cancels_its_handler(
    ca: trustme.CA, certificate: TlsConfig, where: str
) -> None:
    handling = Handling(where)
    async with serving(handling, tls=certificate) as served:
        async with connecting_tls(served.address, trusting(ca)) as (client, _):
            await client.send(GET)
            await handling.waits.wait()
        await handling.cancelled.wait()
        await served.wait_quiet()


@both_loops
async def test_a_tls_client_that_does_not_read_is_cut(ca: trustme.CA, certificate: TlsConfig) -> None:
    handling = Handling("writing")
    async with (
        serving(handling, tls=certificate, write_timeout=SHORT) as served,
        connecting_tls(served.address, trusting(ca)) as (client, _),
    ):
        await client.send(GET)
        await handling.cancelled.wait()
        await served.wait_quiet()


@both_loops
async def test_refusals_reach_tls_clients(ca: trustme.CA, certificate: TlsConfig) -> None:
    async with serving(tls=certificate, max_body_bytes=4096) as served:
        async with connecting_tls(served.address, trusting(ca)) as (client, _):
            await client.send(post(bytes(5000)))
            answer = await client.read_answer()
            assert (answer.status, answer.closes) == (413, True)
        await served.wait_quiet()


@both_loops
async def test_what_was_written_before_an_abort_reaches_tls_clients(ca: trustme.CA, certificate: TlsConfig) -> None:
    async def aborting(request: Request, reply: Reply) -> None:
        await reply.start(200, TEXT)
        await reply.write(bytes(BIG))
        reply.abort()

    async with (
        serving(aborting, tls=certificate) as served,
        connecting_tls(served.address, trusting(ca)) as (client, _),
    ):
        await client.send(GET)
        await client.read_head()
        assert len(await client.read_to_end()) == len(b"%x\r\n\r\n" % BIG) + BIG


@both_loops
async def test_a_drain_ends_tls_connections(ca: trustme.CA, certificate: TlsConfig) -> None:
    async with serving(tls=certificate) as served, connecting_tls(served.address, trusting(ca)) as (client, _):
        await client.send(GET)
        await client.read_answer()
        assert await served.server.drain(10) == 0
        assert await client.read_to_end() == b""
        await served.server.close()
