"""The official SDK as judge of streams: it reads them from a server on loopback, as it would from OpenAI."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import openai


@contextmanager
def client_of(body: bytes) -> Iterator[openai.OpenAI]:
    """A client of a server that answers every request with these events."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Tests are silent."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}/v1"
            with openai.OpenAI(base_url=address, api_key="sk-test", max_retries=0, timeout=10) as client:
                yield client
        finally:
            server.shutdown()
            thread.join()


def accumulated(body: bytes) -> Any:
    """The response that the SDK puts together from a stream."""
    with client_of(body) as client, client.responses.stream(model="m", input="hi") as stream:
        return stream.get_final_response()
