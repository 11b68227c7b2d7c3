"""A server on loopback that gives Google's SDK one answer after the other, and keeps what it asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from google import genai
from google.genai import types


class Sent(NamedTuple):
    """What the server gives."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"


class Asked(NamedTuple):
    path: str
    body: Any


class Loopback:
    """`client` is the SDK's; `asked` what it sent, `answers` what it is yet to get."""

    def __init__(self, client: genai.Client, asked: list[Asked], answers: list[Sent]) -> None:
        self.client = client
        self.asked = asked
        self.answers = answers


@contextmanager
def loopback(*answers: Sent) -> Iterator[Loopback]:
    asked: list[Asked] = []
    waiting = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"] or 0))
            asked.append(Asked(self.path, json.loads(data) if data else None))
            sent = waiting.pop(0)
            self.send_response(sent.status)
            self.send_header("content-type", sent.content_type)
            self.send_header("content-length", str(len(sent.body)))
            self.end_headers()
            self.wfile.write(sent.body)

        def do_GET(self) -> None:
            self.headers["content-length"] = self.headers["content-length"] or "0"
            self.do_POST()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="loopback")
    thread.start()
    options = types.HttpOptions(base_url=f"http://127.0.0.1:{server.server_address[1]}")
    client = genai.Client(api_key="k", http_options=options)
    try:
        yield Loopback(client, asked, waiting)
    finally:
        client.close()
        server.shutdown()
        server.server_close()
        thread.join()
