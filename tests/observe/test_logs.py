from __future__ import annotations

import json
import os
import threading
from typing import Any

import pytest

from gateway.errors import StartError
from gateway.observe.logs import BATCH, QUEUE_LIMIT, TEXT_LIMIT, Log
from gateway.observe.record import RequestRecord
from gateway.secret import Secret
from gateway.usage import Usage

NOON = 1767268800.0  # 2026-01-01T12:00:00Z


class Sink:
    """A destination that keeps what it is given."""

    def __init__(self) -> None:
        self.data = b""

    def __call__(self, data: bytes) -> None:
        self.data += data

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.data.splitlines()]


class BlockedSink(Sink):
    """A destination that does not read until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.released = threading.Event()

    def __call__(self, data: bytes) -> None:
        self.entered.set()
        assert self.released.wait(20)
        super().__call__(data)


def logged(event: str = "thing", level: str = "info", **fields: object) -> dict[str, Any]:
    sink = Sink()
    log = Log("debug", sink, clock=lambda: NOON + 0.25)
    getattr(log, level)(event, **fields)
    log.close()
    (entry,) = sink.entries()
    return entry


def full_record() -> RequestRecord:
    record = RequestRecord("req-1", 100.0, "POST", "/v1/chat/completions?key=sk-secret", "127.0.0.1")
    record.surface, record.model, record.provider = "openai", "fast", "main"
    record.upstream_model, record.key, record.attempts = "gpt-4o-mini", "sk-…a1b2", 2
    record.status, record.streamed, record.first_byte_at = 200, True, 100.3
    record.upstream_seconds, record.user, record.token_name = 0.4, "ann", "laptop"
    record.usage = Usage(input_uncached=10, cache_read=5, output_text=7, reasoning=3)
    record.bytes_in, record.bytes_out = 120, 900
    return record


def test_a_line_is_one_json_object_with_time_level_and_event() -> None:
    assert logged("ready", listen=["127.0.0.1:8000"]) == {
        "time": "2026-01-01T12:00:00.250Z",
        "level": "info",
        "event": "ready",
        "listen": ["127.0.0.1:8000"],
    }


def test_a_request_line_says_who_what_and_how_long() -> None:
    sink = Sink()
    log = Log("info", sink, clock=lambda: NOON)
    log.request(full_record(), 0.5, NOON)
    log.close()
    assert sink.entries() == [
        {
            "time": "2026-01-01T12:00:00.000Z",
            "level": "info",
            "event": "request",
            "request_id": "req-1",
            "surface": "openai",
            "method": "POST",
            "path": "/v1/chat/completions",
            "status": 200,
            "outcome": "ok",
            "duration_ms": 500.0,
            "overhead_ms": 100.0,
            "client": "127.0.0.1",
            "bytes_in": 120,
            "bytes_out": 900,
            "model": "fast",
            "provider": "main",
            "attempts": 2,
            "key": "sk-…a1b2",
            "upstream_model": "gpt-4o-mini",
            "streamed": True,
            "first_byte_ms": 300.0,
            "input_tokens": 15,
            "output_tokens": 10,
            "cache_read_tokens": 5,
            "reasoning_tokens": 3,
            "user": "ann",
            "token": "laptop",
        }
    ]


def test_a_request_whose_client_left_says_in_which_phase() -> None:
    record = RequestRecord("req-1", 100.0)
    record.outcome, record.phase, record.error = "client_gone", "queued", "client_gone"
    sink = Sink()
    log = Log("info", sink)
    log.request(record, 0.5, NOON)
    log.close()
    (entry,) = sink.entries()
    assert (entry["outcome"], entry["phase"], entry["error"]) == ("client_gone", "queued", "client_gone")
    assert "model" not in entry and "provider" not in entry


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        ("debug", ["debug", "info", "request", "warning", "error"]),
        ("info", ["info", "request", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_a_level_lets_itself_and_what_is_graver_through(level: str, seen: list[str]) -> None:
    sink = Sink()
    log = Log("error", sink)
    log.level = level
    log.debug("debug")
    log.info("info")
    log.request(RequestRecord("req-1", 0.0), 0.1, NOON)
    log.warning("warning")
    log.error("error")
    log.close()
    assert [entry["event"] for entry in sink.entries()] == seen


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (Secret("sk-verysecret"), "****"),
        ({"keys": [Secret("sk-verysecret")]}, {"keys": ["****"]}),
        (StartError("port taken", detail="8000", hint="choose another"), "port taken: 8000 (choose another)"),
        (KeyError("x"), "KeyError: 'x'"),
        (b"\xff\x00a", "\ufffd\x00a"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (1.0000001234, 1.0),
        (None, None),
        (True, True),
        ({1}, [1]),
        (10**30, str(10**30)),
        ("\ud800", "'\\ud800'"),
        ("x" * (TEXT_LIMIT + 1), "x" * TEXT_LIMIT + "…"),
        ([[[[["deep"]]]]], [[[["['deep']"]]]]),
    ],
)
def test_values_are_made_printable(value: object, printed: object) -> None:
    assert logged(value=value)["value"] == printed


def test_a_line_break_in_a_value_does_not_make_a_second_line() -> None:
    assert logged(reason='one\n{"event": "forged"}')["reason"] == 'one\n{"event": "forged"}'


def test_a_terminal_gets_short_lines() -> None:
    sink = Sink()
    log = Log("info", sink, human=True, clock=lambda: NOON)
    log.warning("key_file", path="keys/main.txt", problem="line 3: not a key", keys=2, nothing="")
    log.close()
    assert sink.data.decode() == (
        '12:00:00.000 warning key_file path=keys/main.txt problem="line 3: not a key" keys=2\n'
    )


def test_a_terminal_never_sees_control_characters() -> None:
    sink = Sink()
    log = Log("info", sink, human=True)
    log.info("thing\x1b[2J", path="\x1b]0;title\x07\u009b")
    log.close()
    assert b"\x1b" not in sink.data and b"\x07" not in sink.data and "\u009b" not in sink.data.decode()


def test_a_blocked_reader_costs_lines_and_never_time() -> None:
    sink = BlockedSink()
    log = Log("info", sink)
    log.error("first")
    assert sink.entered.wait(20)
    for n in range(QUEUE_LIMIT + 5):
        log.info("line", n=n)
    assert log.dropped == 5
    sink.released.set()
    log.close()
    entries = sink.entries()
    assert [entry.get("n") for entry in entries] == [None, *range(QUEUE_LIMIT)]


def test_closing_gives_up_on_a_reader_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.observe.logs.CLOSE_SECONDS", 0.01)
    sink = BlockedSink()
    log = Log("info", sink)
    log.error("stuck")
    log.close()
    assert sink.data == b""
    sink.released.set()


def test_a_destination_that_fails_is_counted_and_survived() -> None:
    calls = []

    def failing(data: bytes) -> None:
        calls.append(data)
        raise OSError("gone")

    log = Log("info", failing)
    log.info("one")
    log.info("two")
    log.close()
    assert log.dropped == 2
    assert b"".join(calls).count(b"\n") == 2


def test_many_lines_are_written_in_batches_and_in_order() -> None:
    sizes = []
    sink = Sink()

    def write(data: bytes) -> None:
        sizes.append(data.count(b"\n"))
        sink(data)

    log = Log("info", write)
    for n in range(3 * BATCH):
        log.info("line", n=n)
    log.close()
    assert max(sizes) <= BATCH
    assert [entry["n"] for entry in sink.entries()] == list(range(3 * BATCH))


def test_several_threads_may_log_at_once() -> None:
    sink = Sink()
    log = Log("info", sink)

    def work() -> None:
        for _ in range(200):
            log.info("line")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert len(sink.entries()) == 800


@pytest.mark.parametrize("blocking", [True, False])
def test_a_pipe_that_is_read_slowly_gets_everything(blocking: bool) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, blocking)
    received = bytearray()

    def read() -> None:
        while chunk := os.read(reader, 1000):
            received.extend(chunk)

    thread = threading.Thread(target=read)
    thread.start()
    log = Log("info", writer)
    for _ in range(200):
        log.info("line", text="x" * 1000)  # more than the 64 KiB that a pipe holds
    log.close()
    os.close(writer)
    thread.join()
    os.close(reader)
    assert received.count(b"\n") == 200


def test_a_log_that_was_never_used_has_no_thread() -> None:
    before = threading.active_count()
    log = Log()
    assert threading.active_count() == before
    log.close()
