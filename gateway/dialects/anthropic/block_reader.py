"""Content blocks of Messages, in a client's request and in a provider's answer, as parts.

A block whose meaning has no word in the neutral conversation (server tools and their results, MCP, code execution, a
toolset's tools, search results, compaction) is `Opaque`, whole: nobody may take a tool that the server runs for one
that the client is to run.

The functions for requests refuse what is malformed and note what is lost inside a block; `answer_part` for answers does
neither (a provider's field that nobody knows is no fault of the client's) but raises MalformedAnswerError.
Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from gateway import jsonlib
from gateway.dialects import custom_tools, reading
from gateway.dialects.continuity import read_signature, split_id, unbind
from gateway.dialects.conversation import (
    Cache,
    Citation,
    Document,
    Image,
    Opaque,
    Part,
    RedactedThinking,
    Signature,
    Source,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from gateway.dialects.dialect import MalformedAnswerError, Plan
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json

DIALECT: Final = "anthropic"


# --- requests --------------------------------------------------------------------------------------------------------


def read_content(obj: Json, path: str, losses: Losses, *, name: str = "content") -> tuple[Part, ...]:
    """The parts in a field that is a text or an array of blocks."""
    content = obj.get(name)
    if isinstance(content, str):
        return (Text(content, where=reading.join(path, name)),)
    parts = [(_part(block, where, losses), _bound(block)) for where, block in reading.objects(obj, name, path)]
    signatures = dict(bound for _, bound in parts if bound is not None)
    return tuple(_signed(part, signatures) for part, bound in parts if bound is None)


def _bound(block: Json) -> tuple[str, Signature] | None:
    """What a block says that only carries the signature of a call; see `continuity.bind`."""
    data = block.get("data") if block.get("type") == "redacted_thinking" else None
    return unbind(data) if isinstance(data, str) else None


def _signed(part: Part, signatures: Mapping[str, Signature]) -> Part:
    if not isinstance(part, ToolCall) or part.id not in signatures:
        return part
    return replace(part, signature=signatures[part.id])


def read_cache(block: Json, path: str) -> Cache | None:
    """`cache_control` of a block or a tool."""
    mark = reading.mapping(block, "cache_control", path)
    return None if mark is None else Cache(reading.text(mark, "ttl", reading.join(path, "cache_control")))


def note_unknown(block: Json, known: frozenset[str], path: str, losses: Losses) -> None:
    """Fields that have no place in a part. `null` says nothing."""
    for name, value in block.items():
        if name not in known and value is not None:
            losses.hint(f"{path}.{name}", "block_field", "no other provider's API has such a field.")


def _part(block: Json, path: str, losses: Losses) -> Part:
    kind = reading.required_text(block, "type", path)
    read = _READERS.get(kind)
    if read is None or _is_server_side(block):
        return Opaque(DIALECT, block, where=path)
    return read(block, path, losses)


def _is_server_side(block: Json) -> bool:
    """A tool of a toolset, or one that a server tool called: more than its name and arguments counts."""
    caller = block.get("caller")
    return bool(block.get("toolset_name")) or (isinstance(caller, dict) and caller.get("type") != "direct")


def _text(block: Json, path: str, losses: Losses) -> Part:
    note_unknown(block, frozenset({"type", "text", "cache_control", "citations"}), path, losses)
    if block.get("citations"):
        losses.hint(f"{path}.citations", "citations", "it has no place for what an earlier answer rests on.")
    return Text(reading.required_text(block, "text", path), read_cache(block, path), where=path)


def _image(block: Json, path: str, losses: Losses) -> Part:
    note_unknown(block, frozenset({"type", "source", "cache_control"}), path, losses)
    source = _source(block, path)
    if source is None:
        return Opaque(DIALECT, block, where=path)
    return Image(source, cache=read_cache(block, path), where=path)


def _document(block: Json, path: str, losses: Losses) -> Part:
    note_unknown(block, frozenset({"type", "source", "title", "context", "citations", "cache_control"}), path, losses)
    source = _source(block, path)
    if source is None:
        return Opaque(DIALECT, block, where=path)
    citations = reading.mapping(block, "citations", path)
    return Document(
        source,
        name=reading.text(block, "title", path),
        context=reading.text(block, "context", path),
        citations=None if citations is None else reading.boolean(citations, "enabled", f"{path}.citations"),
        cache=read_cache(block, path),
        where=path,
    )


def _source(block: Json, path: str) -> Source | None:
    """None for a source that is made of blocks, or that is newer than this."""
    source = reading.mapping(block, "source", path)
    if source is None:
        reading.refuse(f"{path}.source", "is missing.")
    where = f"{path}.source"
    match reading.required_text(source, "type", where):
        case "base64":
            data = reading.required_text(source, "data", where)
            return Source("base64", data, reading.text(source, "media_type", where))
        case "text":
            data = reading.required_text(source, "data", where)
            return Source("text", data, reading.text(source, "media_type", where))
        case "url":
            return Source("url", reading.required_text(source, "url", where))
        case "file":
            return Source("file", reading.required_text(source, "file_id", where), dialect=DIALECT)
    return None


def _tool_use(block: Json, path: str, losses: Losses) -> Part:
    note_unknown(block, frozenset({"type", "id", "name", "input", "caller", "cache_control"}), path, losses)
    arguments = reading.mapping(block, "input", path)
    if arguments is None:
        reading.refuse(f"{path}.input", "is missing.")
    call_id, signature = split_id(reading.required_text(block, "id", path))
    return ToolCall(
        call_id,
        reading.required_text(block, "name", path),
        jsonlib.dumps(arguments).decode(),
        signature=signature,
        cache=read_cache(block, path),
        where=path,
    )


def _tool_result(block: Json, path: str, losses: Losses) -> Part:
    known = frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"})
    note_unknown(block, known, path, losses)
    return ToolResult(
        split_id(reading.required_text(block, "tool_use_id", path))[0],
        read_content(block, path, losses),
        reading.boolean(block, "is_error", path),
        cache=read_cache(block, path),
        where=path,
    )


def _thinking(block: Json, path: str, losses: Losses) -> Part:
    note_unknown(block, frozenset({"type", "thinking", "signature"}), path, losses)
    given = reading.text(block, "signature", path)
    signature = read_signature(given, DIALECT) if given else None
    return Thinking(reading.text(block, "thinking", path), signature, where=path)


def _redacted_thinking(block: Json, path: str, losses: Losses) -> Part:
    note_unknown(block, frozenset({"type", "data"}), path, losses)
    return RedactedThinking(read_signature(reading.required_text(block, "data", path), DIALECT), where=path)


_READERS: dict[str, Callable[[Json, str, Losses], Part]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted_thinking,
}


# --- answers ---------------------------------------------------------------------------------------------------------


def answer_part(block: object, plan: Plan) -> Part:
    """A block of an answer, with what the plan did to the request undone. Raises MalformedAnswerError."""
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        raise MalformedAnswerError("a content block without a type")
    match block["type"]:
        case "text":
            return Text(_string(block, "text"), citations=read_citations(block.get("citations")))
        case "thinking":
            signature = block.get("signature")
            signed = Signature(signature, DIALECT, plan.provider) if signature and isinstance(signature, str) else None
            return Thinking(_string(block, "thinking"), signed)
        case "redacted_thinking":
            return RedactedThinking(Signature(_string(block, "data"), DIALECT, plan.provider))
        case "tool_use" if not _is_server_side(block):
            return _answer_call(block, plan)
    return Opaque(DIALECT, block)


def read_citations(citations: object) -> tuple[Citation, ...]:
    """Those that point to a page. A place in a document of the request has no address that anybody else could use."""
    found = (read_citation(each) for each in citations) if isinstance(citations, list) else ()
    return tuple(citation for citation in found if citation is not None)


def read_citation(citation: object) -> Citation | None:
    if not isinstance(citation, dict):
        return None
    url = citation.get("url") or citation.get("source")
    title, quote = citation.get("title"), citation.get("cited_text")
    if not isinstance(url, str) or not url:
        return None
    return Citation(url, title if isinstance(title, str) else "", quote if isinstance(quote, str) else "")


def _answer_call(block: Json, plan: Plan) -> Part:
    name = _string(block, "name")
    if not name:
        raise MalformedAnswerError("a tool_use block without a name")
    arguments = jsonlib.dumps(block.get("input") or {}).decode()
    if name == plan.forced_tool:
        return Text(arguments)
    custom = name in plan.custom
    said = custom_tools.unwrap(arguments) if custom else arguments
    return ToolCall(_string(block, "id"), plan.names.get(name, name), said, custom)


def _string(block: Json, name: str) -> str:
    value = block.get(name)
    if not isinstance(value, str):
        raise MalformedAnswerError(f"a {block['type']} block without {name}")
    return value
