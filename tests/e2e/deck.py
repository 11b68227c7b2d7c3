"""What the clients of a soak ask, and the clients: a protocol each that looks at an answer only as far as it must.

Requests are made beforehand but for their numbers, which keep their bodies apart; most of the work of a soak is to be
the gateway's.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from random import Random
from typing import Any, NamedTuple, cast

USERS = 1000
"""Users of JWTs, beside those of the configuration."""

SECRET = "a secret that is long enough for the signature of a JSON Web Token"


class Kind(NamedTuple):
    """A request of which `share` in a thousand are. Its body has NUMBER where its own number goes, `same` of them one
    and the same; `statuses` are what may come back, with `mark` in a 200."""

    name: str
    share: int
    path: str
    body: bytes
    mark: bytes = b""
    statuses: tuple[int, ...] = (200,)
    token: str = ""
    same: int = 0


NUMBER = b"0123456789"
HELLO = "Tell me about 0123456789, if you please."


def _json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def _chat(model: str, *, stream: bool = False) -> bytes:
    messages = [{"role": "system", "content": "You are brief."}, {"role": "user", "content": HELLO}]
    return _json(model=model, messages=messages, max_tokens=100, stream=stream)


def _generate() -> bytes:
    return _json(contents=[{"role": "user", "parts": [{"text": HELLO}]}])


CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
WHOLE, STREAM = "/v1beta/models/{}:generateContent", "/v1beta/models/{}:streamGenerateContent?alt=sse"
DONE, COMPLETED, STOP, LAST = b"[DONE]", b"response.completed", b"message_stop", b"STOP"

KINDS = (
    Kind("chat", 140, CHAT, _chat("m-openai"), b'"stop"'),
    Kind("chat, streamed", 120, CHAT, _chat("m-openai", stream=True), DONE),
    Kind("chat, cached", 140, CHAT, _chat("m-openai"), b'"stop"', same=500),
    Kind("chat, streamed, cached", 60, CHAT, _chat("m-openai", stream=True), DONE, same=500),
    Kind("chat at the built-in provider", 60, CHAT, _chat("m-echo"), b"choices"),
    Kind("chat, translated", 40, CHAT, _chat("m-anthropic"), b'"stop"'),
    Kind("chat, translated, streamed", 40, CHAT, _chat("m-gemini", stream=True), DONE),
    Kind("responses", 30, RESPONSES, _json(model="m-openai", input=HELLO), b"completed"),
    Kind("responses, streamed", 30, RESPONSES, _json(model="m-openai", input=HELLO, stream=True), COMPLETED),
    Kind("responses, translated", 20, RESPONSES, _json(model="m-anthropic", input=HELLO, stream=True), COMPLETED),
    Kind("messages", 60, MESSAGES, _chat("m-anthropic").replace(b'"system"', b'"user"'), b"end_turn"),
    Kind("messages, streamed", 60, MESSAGES, _chat("m-anthropic", stream=True).replace(b'"system"', b'"user"'), STOP),
    Kind("messages, translated", 30, MESSAGES, _chat("m-openai", stream=True).replace(b'"system"', b'"user"'), STOP),
    Kind("generate", 50, WHOLE.format("m-gemini"), _generate(), LAST),
    Kind("generate, streamed", 50, STREAM.format("m-gemini"), _generate(), LAST),
    Kind("generate, translated", 20, STREAM.format("m-openai"), _generate(), LAST),
    Kind("no JSON", 10, CHAT, b'{"model": "m-openai", "messages": 0123456789', statuses=(400,)),
    Kind("unknown model", 10, CHAT, _chat("m-0123456789"), statuses=(404,)),
    Kind("rejected token", 10, CHAT, _chat("m-openai"), statuses=(401,), token="token-0123456789"),
    Kind("limited token", 10, CHAT, _chat("m-openai"), statuses=(200, 429), token="token-of-limited"),
    Kind("client leaves", 10, CHAT, _chat("m-openai", stream=True), statuses=()),
)  # fmt: skip
"""What clients ask."""


def tokens() -> list[bytes]:
    """Credentials of all users."""
    import jwt

    until = int(time.time()) + 30 * 86400
    issued = [jwt.encode({"sub": f"user-{number}", "exp": until}, SECRET, "HS256") for number in range(USERS)]
    return [token.encode() for token in (*["token-of-ann", "token-of-bob"] * USERS, *issued)]


class Deck:
    """The requests, one after the other, and what came of them. `left`: how many are still to be asked."""

    def __init__(self, requests: int, host: str, seed: int) -> None:
        self.left = requests
        self.asked = 0
        self.outcomes: Counter[tuple[str, int]] = Counter()
        self.odd: Counter[str] = Counter()
        self.broken = 0  # streams: by the provider
        self._rng = Random(seed)
        self._order = [kind for kind in KINDS for _ in range(kind.share)]
        self._rng.shuffle(self._order)
        self._tokens = tokens()
        self._heads = {kind: self._head(kind, host) for kind in KINDS}

    def _head(self, kind: Kind, host: str) -> tuple[bytes, bytes]:
        before = f"POST {kind.path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {kind.token}".encode()
        after = f"\r\ncontent-type: application/json\r\ncontent-length: {len(kind.body)}\r\n\r\n".encode()
        return before, after + kind.body

    def draw(self) -> tuple[Kind, bytes] | None:
        """The next request, in bytes; None after the last."""
        if not self.left:
            return None
        self.left -= 1
        self.asked = number = self.asked + 1
        kind = self._order[number % len(self._order)]
        before, after = self._heads[kind]
        if kind.token:
            request = before + after
        else:
            request = b"%b%b%b" % (before, self._tokens[number * 7919 % len(self._tokens)], after)
        return kind, request.replace(NUMBER, b"%010d" % (number % kind.same if kind.same else number))

    def note(self, kind: Kind, status: int, answer: bytes) -> None:
        """A whole answer."""
        self.outcomes[kind.name, status] += 1
        if status not in kind.statuses or (status == 200 and kind.mark not in answer):
            if status == 200 and b'"error"' in answer:
                self.broken += 1
            else:
                self.odd[f"{kind.name}: {answer[9:12]!r} … {answer[-300:]!r}"] += 1


class Connection(asyncio.Protocol):
    """A client: one request after the other over one connection, or over as many as it takes. `ended` is set with the
    last answer."""

    def __init__(self, deck: Deck, address: tuple[str, int]) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self._deck = deck
        self._address = address
        self._received = b""
        self._whole = 0  # bytes of an answer with a length; -1: it has chunks
        self._kind: Kind | None = None
        self._opening: asyncio.Task[Any] | None = None
        self._transport: asyncio.Transport

    async def open(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, *self._address)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by descent
        self._ask()

    def _ask(self) -> None:
        drawn = self._deck.draw()
        if drawn is None:
            self._kind = None
            self._transport.close()
            return
        self._kind, request = drawn
        self._received, self._whole = b"", 0
        self._transport.write(request)
        if not self._kind.statuses:  # it leaves, sometimes before the gateway has done anything
            asyncio.get_running_loop().call_later(0.0005, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        if not self._whole:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return
            begin = received.find(b"content-length: ", 0, end)
            length = -1 if begin < 0 else int(received[begin + 16 : received.find(b"\r", begin)])
            self._whole = -1 if length < 0 else end + 4 + length
        if len(received) < self._whole if self._whole > 0 else not received.endswith(b"\r\n0\r\n\r\n"):
            return
        kind = self._kind
        if kind is not None and kind.statuses:
            self._deck.note(kind, int(received[9:12]), received)
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        kind = self._kind
        if kind is None:
            self.ended.set_result(None)
            return
        if not kind.statuses:
            self._deck.outcomes[kind.name, 0] += 1
        elif self._received:
            self._deck.broken += 1
        else:
            self._deck.odd[f"{kind.name}: closed without an answer"] += 1
        self._opening = asyncio.get_running_loop().create_task(self.open(), name="client opens")
