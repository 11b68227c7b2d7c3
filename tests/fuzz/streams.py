"""Fuzzing of the SSE reader and the four dialects' streams: damaged streams must end as errors, never as exceptions.

    python3 -m tests.fuzz.streams [--minutes 10] [--seed 1]

Whole streams of every dialect, with texts, thoughts, calls, refusals and usage, are damaged at random: bytes are
changed, left out, doubled and swapped, lines end otherwise, JSON values get another type, events change places. Each
result is read in pieces of random size and must then keep the grammar of `gateway/dialects/deltas.py`, come out the
same however it was cut, and be written by all four writers so that their own readers see it end the same way. The first
stream that breaks a rule is printed, with what reproduces it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from typing import Any

from gateway.dialects.conversation import (
    Answer,
    Choice,
    Citation,
    Ending,
    Finish,
    Refusal,
    Signature,
    Text,
    Thinking,
    ToolCall,
)
from gateway.dialects.deltas import Begin, Broken, Cited, Close, Delta, End, Finished, More, Open, Signed, Used
from gateway.dialects.whole import Collector, to_deltas
from gateway.usage import Usage
from tests.dialects.pairs import NAMES, read_stream, sse, write_stream
from tests.dialects.providers import SAID, STREAMS
from tests.dialects.rich import RICH

USAGE = Usage(11, 3, output_text=7, reasoning=2)
CALLS = (ToolCall("call_1", "look", '{"at": "mö"}'), ToolCall("call_2", "wait", '{"for": [1, null, true]}'))

WHOLE = (
    Answer("a1", "m", (Choice((Text("Héllo, wörld"),), Ending(Finish.STOP, "stop")),), USAGE, 1_700_000_000),
    Answer("a2", "m", (Choice((Text("Let me look."), *CALLS), Ending(Finish.TOOL_CALLS)),), USAGE),
    Answer("a3", "m", (Choice((Refusal("No."),), Ending(Finish.REFUSAL)),)),
    Answer("a4", "m", (Choice((), Ending(Finish.LENGTH)),), Usage(1, output_text=0)),
    Answer(
        "a5", "m", (Choice((Text("x", citations=(Citation("https://e.org/", "E", "q", 0, 1),)),), Ending(Finish.STOP)),)
    ),
)

ODDITIES: tuple[Any, ...] = (None, True, 0, -1, 1e300, "", "x", [], {}, [None], {"type": 7}, "\ud800", 1 << 70)
"""What no schema allows where it is put."""


def seeds() -> list[tuple[str, bytes]]:
    """Streams as each dialect writes them and as providers document them, by the dialect that reads them."""
    streams: list[tuple[str, bytes]] = []
    for name in NAMES:
        streams += [(name, STREAMS[name](said)) for said in SAID.values()]
        streams.append((name, sse(RICH[name])))  # a whole answer where a stream was asked for
        for answer in WHOLE:
            signed = Signature("c2ln", name, "main")
            (choice,) = answer.choices
            thinking = Choice((Thinking("hm, hm", signed), *choice.parts), choice.ending)
            for each in (answer, Answer(answer.id, "m", (thinking,), answer.usage)):
                streams.append((name, write_stream(name, to_deltas(each))))
    return streams


def damaged(stream: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.randint(1, 4)):
        stream = rng.choice((_change, _leave_out, _double, _swap, _retype, _shuffle, _cut_off, _end_lines))(stream, rng)
    return stream


def _span(stream: bytes, rng: random.Random) -> tuple[int, int]:
    begin = rng.randrange(len(stream) + 1)
    return begin, min(len(stream), begin + rng.choice((1, 2, 8, 64)))


def _change(stream: bytes, rng: random.Random) -> bytes:
    begin, end = _span(stream, rng)
    return stream[:begin] + rng.randbytes(end - begin) + stream[end:]


def _leave_out(stream: bytes, rng: random.Random) -> bytes:
    begin, end = _span(stream, rng)
    return stream[:begin] + stream[end:]


def _double(stream: bytes, rng: random.Random) -> bytes:
    begin, end = _span(stream, rng)
    return stream[:end] + stream[begin:end] * rng.randint(1, 3) + stream[end:]


def _swap(stream: bytes, rng: random.Random) -> bytes:
    (a, b), (c, d) = sorted((_span(stream, rng), _span(stream, rng)))
    return stream if b > c else stream[:a] + stream[c:d] + stream[b:c] + stream[a:b] + stream[d:]


def _cut_off(stream: bytes, rng: random.Random) -> bytes:
    return stream[: rng.randrange(len(stream) + 1)]


def _end_lines(stream: bytes, rng: random.Random) -> bytes:
    """All lines, or one, end otherwise."""
    end = rng.choice((b"\r", b"\n", b"\r\n", b"\n: comment\n"))
    if rng.random() < 0.5:
        return stream.replace(b"\n", end)
    begin, _, rest = stream[(place := rng.randrange(len(stream) + 1)) :].partition(b"\n")
    return stream[:place] + begin + end + rest


def _shuffle(stream: bytes, rng: random.Random) -> bytes:
    """Whole events: left out, doubled, in another order."""
    events = stream.replace(b"\r\n", b"\n").split(b"\n\n")
    events = [event for event in events for _ in range(rng.choice((0, 1, 1, 1, 1, 2)))]
    if rng.random() < 0.3:
        rng.shuffle(events)
    return b"\n\n".join(events)


def _retype(stream: bytes, rng: random.Random) -> bytes:
    """One value somewhere in one event's JSON becomes something else."""
    lines = stream.split(b"\n")
    places = [place for place, line in enumerate(lines) if line.startswith(b"data: {")]
    if not places:
        return stream
    place = rng.choice(places)
    try:
        payload = json.loads(lines[place][6:])
    except ValueError:
        return stream
    holders = list(_holders(payload))
    if not holders:
        return stream
    holder, name = rng.choice(holders)
    holder[name] = rng.choice(ODDITIES)
    lines[place] = b"data: " + json.dumps(payload).encode()
    return b"\n".join(lines)


def _holders(value: Any) -> Any:
    """Every place in a JSON value that holds another."""
    names = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for name in names:
        yield value, name
        yield from _holders(value[name])


def check(name: str, stream: bytes, rng: random.Random) -> None:
    """Raises whatever breaks a rule."""
    deltas = read_stream(name, stream, cut=max(1, len(stream)))
    keep_grammar(deltas)
    assert read_stream(name, stream, cut=rng.choice((1, 2, 7, 64))) == deltas, "it matters where the bytes are cut"
    collector = Collector()
    collector.feed(deltas)
    assert collector.answer is not None
    # A model that wrote what nobody could read has answered in most dialects, and failed in Responses.
    unread = any(isinstance(delta, Finished) and delta.ending.finish is Finish.ERROR for delta in deltas)
    for client in NAMES:
        shown = read_stream(client, write_stream(client, deltas))
        keep_grammar(shown)
        assert unread or type(shown[-1]) is type(deltas[-1]), f"to {client} it ends as {shown[-1]}"


def keep_grammar(deltas: list[Delta]) -> None:
    """The grammar of `deltas.py`."""
    still_open: dict[int, int] = {}
    seen: set[int] = set()
    ended = False
    for place, delta in enumerate(deltas):
        assert not ended, f"{delta} after the end"
        match delta:
            case Begin():
                assert place == 0, "it begins twice"
            case Open(block, _, choice):
                assert block not in seen, f"block {block} is opened twice"
                seen.add(block)
                still_open[block] = choice
            case More(block) | Signed(block) | Cited(block):
                assert block in still_open, f"{delta} outside of its block"
            case Close(block):
                assert still_open.pop(block, None) is not None, f"{delta} of no open block"
            case Finished(_, choice):
                assert choice not in still_open.values(), f"choice {choice} ends with an open block"
            case End() | Broken():
                ended = True
                assert isinstance(delta, Broken) or not still_open, "it ends with an open block"
            case Used():
                pass
    assert ended, "it has no end"


def main(minutes: float, seed: int) -> int:
    streams, until, count = seeds(), time.monotonic() + minutes * 60, 0
    for name, stream in streams:
        check(name, stream, random.Random(seed))
    while time.monotonic() < until:
        rng = random.Random(f"{seed} {count}")
        name, stream = rng.choice(streams)
        broken = damaged(stream, rng)
        try:
            check(name, broken, rng)
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            print(f"stream {count} of seed {seed}, {name}: {what}\n{broken!r}", file=sys.stderr)
            return 1
        count += 1
    print(f"{count} damaged streams of {len(streams)}, seed {seed}: nothing found")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    sys.exit(main(arguments.minutes, arguments.seed))
