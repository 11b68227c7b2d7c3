"""An issuer of JSON Web Tokens: its keys, what it signs, and the address where its public keys are."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ALGORITHMS: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


def new_key(algorithm: str, bits: int = 2048) -> Any:
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, bits)
    return ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else ed25519.Ed25519PrivateKey.generate()


def public_jwk(algorithm: str, key: Any, **members: object) -> dict[str, Any]:
    return {**ALGORITHMS[algorithm].to_jwk(key.public_key(), as_dict=True), **members}


class Issuer:
    """A key for each algorithm, with its name as `kid`."""

    def __init__(self) -> None:
        self.keys = {algorithm: new_key(algorithm) for algorithm in ALGORITHMS}

    def sign(self, claims: dict[str, Any], algorithm: str = "RS256", **header: object) -> str:
        return jwt.encode(claims, self.keys[algorithm], algorithm, {"kid": algorithm, **header})

    def document(self) -> bytes:
        keys = [public_jwk(algorithm, key, kid=algorithm) for algorithm, key in self.keys.items()]
        return json.dumps({"keys": keys}).encode()


def forged(header: dict[str, Any], claims: Any, signature: bytes = b"") -> str:
    """A token of parts that no library would put together."""
    parts = [
        json.dumps(header).encode(),
        claims if isinstance(claims, bytes) else json.dumps(claims).encode(),
        signature,
    ]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


class KeyServer:
    """Answers every request with `body`; with `stall`, not at all."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.status = 200
        self.stall = False
        self.asked = 0
        self.url = ""
        self._serving: set[asyncio.Task[None]] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.asked += 1
                if self.stall:
                    await asyncio.Event().wait()
                head = f"HTTP/1.1 {self.status} Said\r\ncontent-length: {len(self.body)}\r\n\r\n"
                writer.write(head.encode() + self.body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._serving.discard(task)
            writer.close()

    def leave(self) -> None:
        for task in self._serving:
            task.cancel()


@asynccontextmanager
async def key_server(body: bytes) -> AsyncIterator[KeyServer]:
    server = KeyServer(body)
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/keys.json?v=1"
    try:
        yield server
    finally:
        listening.close()
        server.leave()
        await asyncio.sleep(0)
