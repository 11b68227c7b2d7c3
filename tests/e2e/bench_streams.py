"""What open streams cost: memory of the gateway per stream, with thousands of them waiting for their next event.

    python3 -m tests.e2e.bench_streams [--streams 5000] [--tls]

Prints the gateway's proportional set size idle, with all streams open, and the difference per stream in KB. `--tls`:
clients come over TLS.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import ssl
import tempfile
from pathlib import Path

import trustme

from tests.e2e.load import CHAT
from tests.e2e.process import gateway, one_provider, write_keys

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini",'
    b'"choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}\n\n'
)
CHUNK = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)


class Upstream(asyncio.Protocol):
    """Begins a stream for every request and leaves it open."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if b"\r\n\r\n" in data:
            self.transport.write(HEAD + CHUNK * 3)


def pss_kb(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+)", text, re.M)
    assert found is not None
    return int(found[1])


def certify(folder: Path) -> tuple[str, ssl.SSLContext]:
    """The configuration of a TLS listener, and what its clients trust."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return '\n[server.tls]\ncert = "server.pem"\nkey = "server.pem"\n', context


async def main(streams: int, *, tls: bool) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0, backlog=4096)
    base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_keys(folder, [f"sk-bench-{n:016}" for n in range(50)])
        more, context = certify(folder) if tls else ("", None)
        async with gateway(folder, one_provider(base_url, server="drain_timeout = 1") + more) as running:
            await open_stream(running.address, context)
            pid = running.process.pid
            idle = pss_kb(pid)
            writers: list[asyncio.StreamWriter] = []
            for start in range(0, streams, 250):
                batch = [open_stream(running.address, context) for _ in range(min(250, streams - start))]
                writers += await asyncio.gather(*batch)
            loaded = pss_kb(pid)
            print(
                f"{len(writers)} streams of {CHAT['model']}: idle {idle / 1024:.1f} MB, open {loaded / 1024:.1f} MB, "
                f"{(loaded - idle) / len(writers):.1f} KB a stream"
            )
            for writer in writers:
                writer.transport.abort()
    server.close()


async def open_stream(address: str, context: ssl.SSLContext | None) -> asyncio.StreamWriter:
    """Open one stream and wait for its first events."""
    host, _, port = address.rpartition("/")[2].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=4096, ssl=context)
    body = json.dumps({**CHAT, "stream": True}).encode()
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n" % len(body) + body
    )
    await reader.readuntil(b"word")
    return writer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--streams", type=int, default=5000)
    parser.add_argument("--tls", action="store_true")
    arguments = parser.parse_args()
    asyncio.run(main(arguments.streams, tls=arguments.tls))
