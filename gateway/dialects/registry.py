"""The four dialects by name, each loaded when it is first needed: most gateways speak one or two of them."""

from __future__ import annotations

from collections.abc import Callable

from gateway.dialects.client_names import ClientNames
from gateway.dialects.dialect import (
    MakeStreamReader,
    MakeStreamWriter,
    ReadAnswer,
    ReadFailure,
    ReadRequest,
    WriteAnswer,
    WriteFailure,
    WriteRequest,
)
from gateway.dialects.names import DialectName
from gateway.quick import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """What `dialect.py` says that every dialect has."""

    name: DialectName
    read_request: ReadRequest
    write_request: WriteRequest
    read_answer: ReadAnswer
    write_answer: WriteAnswer
    stream_reader: MakeStreamReader
    stream_writer: MakeStreamWriter
    read_failure: ReadFailure
    write_failure: WriteFailure
    client_names: ClientNames


def load_dialect(name: DialectName) -> Dialect:
    """Costs imports the first time."""
    return _LOADERS[name]()


def _openai_chat() -> Dialect:
    from gateway.dialects.openai_chat.answer_reader import read_answer
    from gateway.dialects.openai_chat.answer_writer import write_answer
    from gateway.dialects.openai_chat.client_names import CLIENT_NAMES
    from gateway.dialects.openai_chat.errors import read_failure, write_failure
    from gateway.dialects.openai_chat.request_reader import read_request
    from gateway.dialects.openai_chat.request_writer import write_request
    from gateway.dialects.openai_chat.stream_reader import StreamReader
    from gateway.dialects.openai_chat.stream_writer import StreamWriter

    return Dialect(
        "openai_chat", read_request, write_request, read_answer, write_answer, StreamReader, StreamWriter,
        read_failure, write_failure, CLIENT_NAMES,
    )  # fmt: skip


def _openai_responses() -> Dialect:
    from gateway.dialects.openai_responses.answer_reader import read_answer
    from gateway.dialects.openai_responses.answer_writer import write_answer
    from gateway.dialects.openai_responses.client_names import CLIENT_NAMES
    from gateway.dialects.openai_responses.errors import read_failure, write_failure
    from gateway.dialects.openai_responses.request_reader import read_request
    from gateway.dialects.openai_responses.request_writer import write_request
    from gateway.dialects.openai_responses.stream_reader import StreamReader
    from gateway.dialects.openai_responses.stream_writer import StreamWriter

    return Dialect(
        "openai_responses", read_request, write_request, read_answer, write_answer, StreamReader, StreamWriter,
        read_failure, write_failure, CLIENT_NAMES,
    )  # fmt: skip


def _anthropic() -> Dialect:
    from gateway.dialects.anthropic.answer_reader import read_answer
    from gateway.dialects.anthropic.answer_writer import write_answer
    from gateway.dialects.anthropic.client_names import CLIENT_NAMES
    from gateway.dialects.anthropic.errors import read_failure, write_failure
    from gateway.dialects.anthropic.request_reader import read_request
    from gateway.dialects.anthropic.request_writer import write_request
    from gateway.dialects.anthropic.stream_reader import StreamReader
    from gateway.dialects.anthropic.stream_writer import StreamWriter

    return Dialect(
        "anthropic", read_request, write_request, read_answer, write_answer, StreamReader, StreamWriter,
        read_failure, write_failure, CLIENT_NAMES,
    )  # fmt: skip


def _gemini() -> Dialect:
    from gateway.dialects.gemini.answer_reader import read_answer
    from gateway.dialects.gemini.answer_writer import write_answer
    from gateway.dialects.gemini.client_names import CLIENT_NAMES
    from gateway.dialects.gemini.errors import read_failure, write_failure
    from gateway.dialects.gemini.request_reader import read_request
    from gateway.dialects.gemini.request_writer import write_request
    from gateway.dialects.gemini.stream_reader import StreamReader
    from gateway.dialects.gemini.stream_writer import StreamWriter

    return Dialect(
        "gemini", read_request, write_request, read_answer, write_answer, StreamReader, StreamWriter,
        read_failure, write_failure, CLIENT_NAMES,
    )  # fmt: skip


_LOADERS: dict[DialectName, Callable[[], Dialect]] = {
    "openai_chat": _openai_chat,
    "openai_responses": _openai_responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
}


def failure_reader(name: DialectName) -> ReadFailure:
    """The one part of a dialect that is wanted where nothing is translated."""
    match name:
        case "openai_chat":
            from gateway.dialects.openai_chat import errors as chat

            return chat.read_failure
        case "openai_responses":
            from gateway.dialects.openai_responses import errors as responses

            return responses.read_failure
        case "anthropic":
            from gateway.dialects.anthropic import errors as anthropic

            return anthropic.read_failure
        case "gemini":
            from gateway.dialects.gemini import errors as gemini

            return gemini.read_failure
