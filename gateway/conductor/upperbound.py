"""How many tokens a request can cost at most, before anybody knows: what is reserved for it.

No byte of text is more than one token, and JSON's own bytes are more than what providers add around a message. Of an
image or a file the bytes say little: each gets an allowance. What the provider itself keeps (an earlier answer, a file,
a cache) may be anything that fits into the model.

Where the request limits its answer, this is a bound. That limit is believed, not the price list's `max_output`, which
may be old: it only caps what is taken for a limit that is not said. A provider's own tools may read more than anyone
can say beforehand; a price without the model's `max_input` then leaves that open.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway import jsonlib
from gateway.conductor.ask import Ask
from gateway.conductor.estimate import HELD, SILENT, longest_answer
from gateway.conductor.extras import EXTENSIONS
from gateway.policy.pricing import AUDIO, CACHED_WRITES, IMAGES, Price, bound

FRAME_TOKENS = 64
"""What a provider adds to any request."""

TOOLS_TOKENS = 1000
"""What it adds where tools are declared: Claude has a prompt of up to 700 tokens for them.
https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview"""

PART_TOKENS = 50_000
"""For what is not text, linked or in the body: an image of few bytes may be large. GPT-4o mini counts up to 48,169 for
one, all others far less. https://platform.openai.com/docs/guides/images-vision"""

KEPT_TOKENS = 200_000
"""For what the provider keeps, where the model's longest input is not known."""

GEMINI_TOKENS = 1 << 20
"""The same for Gemini. https://ai.google.dev/gemini-api/docs/models"""

URL = re.compile(r'url"\s*:\s*"')
PARTS = ('"file_data"', '"inlineData"', '"inline_data"', '"base64"')
BEGINNINGS = ('"file', '"inline', '"base64"')
"""How an image or a file stands in a body: as a link or a data URL (`image_url` may hold an object with the `url`), or
as data under a name of its dialect; and how all of those names begin, and of files that the provider keeps."""

SOUNDING = ("audio", "video/", "video\\/")
"""Types of data that have sound, in small letters: their case does not matter (RFC 9110, 8.3.1)."""

LINK = re.compile(rb'"(?:url|image_url|file_url|document_url)"\s*:\s*"(?!data:)')
"""Those of them that only their provider sees."""

KEPT = frozenset({"previous_response_id", "conversation", "cachedContent", "cached_content"})
KEPT_WITHIN = re.compile(rb'"(?:previous_?response_?id|conversation|cached_?content)"\s*:\s*["{]', re.IGNORECASE)
KEPT_SOUND = re.compile(r'"audio"\s*:\s*\{\s*"id"')
KEPT_FILES = re.compile(r'"file(?:_id|Uri|_uri)"\s*:\s*["{]')
"""What the provider keeps: as fields of the request, anywhere in one with EXTENSIONS, whose depths nobody reads here,
and as spoken answers and files anywhere in any; for Gemini a link is the same, to hours of film."""


BARE = frozenset({"id", "type", "status"})
"""What an item of Responses has beside what it says."""


class Most(NamedTuple):
    """Tokens in and out, and nano-units, that a request costs at most."""

    input: int
    output: int
    amount: int


def at_most(ask: Ask, price: Price, unsaid: int, *, long_name: bool = True) -> Most:
    """`unsaid`: tokens of an answer whose length the request does not limit; `long_name` as in `longest_answer`. Raises
    RequestError 400 for a limit that nobody can read."""
    hidden = jsonlib.hides_names(ask.body)  # then it may have anything
    text = _searchable(ask.body)
    into = len(text) + FRAME_TOKENS
    if ask.fields and "tools" in ask.fields:
        into += TOOLS_TOKENS
    if 'url"' in text:
        into += PART_TOKENS * len(URL.findall(text))
    parts = 0
    dearer = price.dearer  # for most models nothing is, and nobody has to search for it
    kept = hidden or _keeps(ask) or (AUDIO in dearer and KEPT_SOUND.search(text) is not None)
    for beginning in BEGINNINGS:
        if beginning in text:
            parts = sum(map(text.count, PARTS))
            into += PART_TOKENS * parts
            kept = kept or KEPT_FILES.search(text) is not None
            break
    if kept:
        into += _longest_input(ask, price)
    if price.max_input is not None:
        into = min(into, price.max_input)
    out = 0
    if ask.shape not in SILENT:
        if price.max_output is not None:
            unsaid = min(unsaid, price.max_output)
        length, several = longest_answer(ask, unsaid, long_name=long_name)
        out = length * several
    amount = bound(
        price,
        into,
        out,
        cached_writes=CACHED_WRITES in dearer and (hidden or "cache_control" in text),
        audio=AUDIO in dearer and (kept or _sounds(ask, text, price, parts)),
        images=IMAGES in dearer and (kept or "image" in text.lower() or _answers_dearer(price, "output_image")),
    )
    return Most(into, out, amount)


def _sounds(ask: Ask, text: str, price: Price, parts: int) -> bool:
    """Whether there may be sound in it, or in the answer. `parts`: how many are in the body."""
    if "audio" in text or (ask.shape in HELD and _answers_dearer(price, "output_audio")):
        return True
    return parts > 0 and any(kind in text.lower() for kind in SOUNDING)


def _answers_dearer(price: Price, bucket: str) -> bool:
    """Whether an answer in this bucket costs more than one of text, in any tier."""
    return any(getattr(rates, bucket) > rates.output for rates in (price.rates, *(tier.rates for tier in price.tiers)))


def referred(ask: Ask, price: Price) -> int:
    """Tokens that are reserved for what a request only refers to: links, and what its provider keeps. Of what is in the
    body there is a better estimate."""
    links = PART_TOKENS * len(LINK.findall(ask.body)) if b'rl"' in ask.body else 0
    kept = jsonlib.hides_names(ask.body) or _keeps(ask) or KEPT_FILES.search(_searchable(ask.body)) is not None
    return links + (_longest_input(ask, price) if kept else 0)


def _searchable(body: bytes) -> str:
    """A character for each byte. A text is searched at a third of what bytes take, which try `in` with a number first
    and drop the exception; that is more than the copy. Each search of a long prompt takes longer than reading it as
    JSON does, so there are few."""
    return body.decode("latin-1")


def _longest_input(ask: Ask, price: Price) -> int:
    if price.max_input is not None:
        return price.max_input
    gemini = ask.shape in HELD or not EXTENSIONS.isdisjoint(ask.fields or ())
    return GEMINI_TOKENS if gemini else KEPT_TOKENS


def _keeps(ask: Ask) -> bool:
    """Whether the request goes on with what only its provider has."""
    fields = ask.fields
    if not fields:
        return False
    if not KEPT.isdisjoint(fields) and any(fields.get(name) is not None for name in KEPT):
        return True
    if not EXTENSIONS.isdisjoint(fields) and KEPT_WITHIN.search(ask.body):
        return True
    if ask.shape != "responses":
        return False
    items = fields.get("input")
    return bool(fields.get("prompt")) or (isinstance(items, list) and any(map(_is_reference, items)))


def _is_reference(item: object) -> bool:
    """An item of which nothing is said but its id; its type may be left out, or be that of what it refers to.
    https://platform.openai.com/docs/api-reference/responses/create#responses_create-input"""
    if not isinstance(item, dict) or "id" not in item:
        return False
    return item.get("type") == "item_reference" or item.keys() <= BARE
