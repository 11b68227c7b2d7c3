"""How many tokens a request can cost at most, before anybody knows: what is reserved for it.

No byte of text is more than one token, and JSON's own bytes are more than what providers add around a message. What a
request only refers to is not among its bytes: a link to an image gets an allowance, and what the provider itself keeps
(an earlier answer, a file, a cache) may be anything that fits into the model.

Where the request limits its answer, this is a bound. A provider's own tools may read more than anyone can say
beforehand; a price without the model's `max_input` then leaves that open.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.conductor.ask import Ask
from gateway.conductor.estimate import SILENT, longest_answer
from gateway.policy.pricing import Price, bound

FRAME_TOKENS = 64
"""What a provider adds to any request."""

TOOLS_TOKENS = 1000
"""What it adds where tools are declared: Claude has a prompt of up to 700 tokens for them.
https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview"""

LINK_TOKENS = 50_000
"""For what a link leads to. GPT-4o mini counts up to 48,169 for one image, all others far less.
https://platform.openai.com/docs/guides/images-vision"""

KEPT_TOKENS = 200_000
"""For what the provider keeps, where the model's longest input is not known."""

LINK = re.compile(rb'"(?:url|image_url|file_url|fileUri|file_uri)"\s*:\s*"(?!data:)')
KEPT = re.compile(rb'"(?:previous_response_id|conversation|file_id|cachedContent|cached_content)"\s*:\s*["{]')


class Most(NamedTuple):
    """Tokens in and out, and nano-units, that a request costs at most."""

    input: int
    output: int
    amount: int


def at_most(ask: Ask, price: Price, unsaid: int) -> Most:
    """`unsaid`: tokens of an answer whose length the request does not limit."""
    body = ask.body
    into = len(body) + FRAME_TOKENS
    if b'"tools"' in body:
        into += TOOLS_TOKENS
    if b'url"' in body or b'uri"' in body or b'Uri"' in body:  # an expression takes ten times as long to say no
        into += LINK_TOKENS * len(LINK.findall(body))
    if (b'_id"' in body or b'conversation"' in body or b"cached" in body) and KEPT.search(body):
        into += KEPT_TOKENS if price.max_input is None else price.max_input
    if price.max_input is not None:
        into = min(into, price.max_input)
    out = 0
    if ask.shape not in SILENT:
        length, several = longest_answer(ask, unsaid)
        if price.max_output is not None:
            length = min(length, price.max_output)
        out = length * several
    amount = bound(
        price,
        into,
        out,
        cached_writes=b"cache_control" in body,
        audio=b"audio" in body,
        images=b"image" in body or b"IMAGE" in body or price.rates.output_image > price.rates.output,
    )
    return Most(into, out, amount)
