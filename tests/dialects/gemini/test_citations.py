"""Citations, whose places Google counts in bytes."""

from __future__ import annotations

import pytest

from gateway.dialects.conversation import Citation
from gateway.dialects.gemini.citations import read_citations, write_citations
from gateway.dialects.names import Json

WEB = {"web": {"uri": "https://a/", "title": "A"}}


def grounded(segment: object, *chunks: Json) -> Json:
    supports = [{"segment": segment, "groundingChunkIndices": [0]}]
    return {"groundingMetadata": {"groundingChunks": list(chunks or (WEB,)), "groundingSupports": supports}}


@pytest.mark.parametrize(
    ("segment", "place", "start", "end"),
    [
        ({"endIndex": 2}, 0, 0, 1),
        ({"startIndex": 2, "endIndex": 4, "text": "bc"}, 0, 1, 3),
        ({"startIndex": 0, "endIndex": 3, "text": "def"}, 1, 0, 3),
        ({"startIndex": 90, "endIndex": 93, "text": "ef"}, 1, 1, 3),
        ({"startIndex": 90, "endIndex": 93}, 0, None, None),
        ({"startIndex": "x", "endIndex": None}, 0, None, None),
        (None, 0, None, None),
    ],
)
def test_a_segment_is_found_in_its_text(segment: object, place: int, start: int | None, end: int | None) -> None:
    texts = ["übc", "def"]
    assert read_citations(grounded(segment), texts) == [(place, Citation("https://a/", "A", "", start, end))]


def test_sources_that_support_nothing_stand_on_the_first_text() -> None:
    assert read_citations({"groundingMetadata": {"groundingChunks": [WEB, {}, {"maps": {"title": "M"}}]}}, ["a"]) == [
        (0, Citation("https://a/", "A")),
        (0, Citation("", "M")),
    ]


def test_recitations_are_citations() -> None:
    candidate = {"citationMetadata": {"citationSources": [{"uri": "https://a/", "startIndex": 1, "endIndex": 2}]}}
    assert read_citations(candidate, ["abc"]) == [(0, Citation("https://a/", "", "", 1, 2))]


@pytest.mark.parametrize(
    "candidate",
    [
        {},
        {"groundingMetadata": "x"},
        {"groundingMetadata": {"groundingChunks": "x", "groundingSupports": {}}},
        {"groundingMetadata": {"groundingSupports": [{"groundingChunkIndices": [0, -1, "x"]}]}},
        {"citationMetadata": {"citations": [1]}},
    ],
)
def test_odd_metadata_cite_nothing(candidate: Json) -> None:
    assert read_citations(candidate, ["a"]) == []
    assert read_citations(grounded({"endIndex": 1}), []) == []


def test_a_source_is_one_chunk_however_often_it_is_cited() -> None:
    cited = [(0, "ab", Citation("https://a/", "A", "", place, place + 1)) for place in range(2)]
    written = write_citations([*cited, (0, "ab", Citation("https://b/"))])
    assert written["groundingChunks"] == [WEB, {"web": {"uri": "https://b/"}}]
    assert [support["groundingChunkIndices"] for support in written["groundingSupports"]] == [[0], [0]]
