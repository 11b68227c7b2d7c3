"""What an answer rests on: Google's `groundingMetadata` and `citationMetadata`, as citations of a text, and back.

Google counts bytes of UTF-8, inside of a part; a citation counts characters of its text. Chunks of the web have an
address, chunks of a client's own files have their text alone.

Source: https://ai.google.dev/api/generate-content#GroundingMetadata
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.dialects.conversation import Citation
from gateway.dialects.gemini.protojson import camel
from gateway.dialects.names import Json


def read_citations(candidate: Json, texts: Sequence[str]) -> list[tuple[int, Citation]]:
    """The citations of a candidate (names in camelCase), each with the place in `texts` of the text it belongs to.
    Nothing where there is no text."""
    if not texts:
        return []
    found = [*_grounded(candidate, texts), *_recited(candidate, texts)]
    return list(dict.fromkeys(found))


def _grounded(candidate: Json, texts: Sequence[str]) -> Iterator[tuple[int, Citation]]:
    metadata = candidate.get("groundingMetadata")
    if not isinstance(metadata, dict):
        return
    fields = camel(metadata)
    chunks = [_read_chunk(chunk) for chunk in _objects(fields.get("groundingChunks"))]
    used: set[int] = set()
    for support in _objects(fields.get("groundingSupports")):
        segment = support.get("segment")
        place, start, end = _locate(camel(segment) if isinstance(segment, dict) else {}, texts)
        indices = support.get("groundingChunkIndices")
        for index in indices if isinstance(indices, list) else ():
            if type(index) is int and 0 <= index < len(chunks) and (chunk := chunks[index]) is not None:
                used.add(index)
                yield place, Citation(chunk.url, chunk.title, chunk.quote, start, end)
    for index, chunk in enumerate(chunks):
        if index not in used and chunk is not None:
            yield 0, chunk


def _read_chunk(chunk: Json) -> Citation | None:
    for name in ("web", "retrievedContext", "maps"):
        source = chunk.get(name)
        if isinstance(source, dict):
            fields = camel(source)
            url, title, quote = (fields.get(key) for key in ("uri", "title", "text"))
            return Citation(_text(url), _text(title), _text(quote))
    return None


def _recited(candidate: Json, texts: Sequence[str]) -> Iterator[tuple[int, Citation]]:
    metadata = candidate.get("citationMetadata")
    fields = camel(metadata) if isinstance(metadata, dict) else {}
    for source in _objects(fields.get("citations") or fields.get("citationSources")):
        place, start, end = _locate(source, texts)
        yield place, Citation(_text(source.get("uri")), _text(source.get("title")), "", start, end)


def _locate(segment: Json, texts: Sequence[str]) -> tuple[int, int | None, int | None]:
    """Which text a segment is in, and from which character to which; unknown where the bytes do not fit."""
    quoted = _text(segment.get("text"))
    start, end = segment.get("startIndex", 0), segment.get("endIndex")
    if type(start) is int and type(end) is int and 0 <= start <= end:
        for place, text in enumerate(texts):
            data = text.encode("utf-8", "surrogatepass")
            inside = data[start:end].decode("utf-8", "replace")
            if end <= len(data) and (not quoted or inside == quoted):
                before = len(data[:start].decode("utf-8", "replace"))
                return place, before, before + len(inside)
    for place, text in enumerate(texts):
        if quoted and (where := text.find(quoted)) >= 0:
            return place, where, where + len(quoted)
    return 0, None, None


def _objects(value: object) -> list[Json]:
    return [camel(each) for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def write_citations(cited: Sequence[tuple[int, str, Citation]]) -> Json:
    """`groundingMetadata` of citations, each with its part's number and text. Every source is one chunk."""
    chunks: dict[tuple[str, str, str], int] = {}
    supports: list[Json] = []
    for number, text, citation in cited:
        index = chunks.setdefault((citation.url, citation.title, citation.quote), len(chunks))
        if citation.start is not None and citation.end is not None:
            supports.append({"segment": _segment(number, text, citation), "groundingChunkIndices": [index]})
    return {
        "groundingChunks": [_write_chunk(*source) for source in chunks],
        **({"groundingSupports": supports} if supports else {}),
    }


def _segment(number: int, text: str, citation: Citation) -> Json:
    inside = text[citation.start : citation.end]
    start = len(text[: citation.start].encode("utf-8", "surrogatepass"))
    segment = {"startIndex": start, "endIndex": start + len(inside.encode("utf-8", "surrogatepass")), "text": inside}
    return {**({"partIndex": number} if number else {}), **segment}


def _write_chunk(url: str, title: str, quote: str) -> Json:
    fields = {"uri": url, "title": title, "text": quote}
    said = {name: value for name, value in fields.items() if value}
    if url.startswith(("https://", "http://")):
        said.pop("text", None)  # of a page Google gives no words
        return {"web": said}
    return {"retrievedContext": said}
