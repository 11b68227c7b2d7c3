"""How many tokens a request will use, before anybody knows: for limits, which reserve them.

Rather too many than too few, and cheap, since it is asked of every request where tokens are limited. What was used in
the end replaces it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import nan
from typing import Any

from gateway import jsonlib
from gateway.conductor.ask import FREE, Ask
from gateway.errors import RequestError
from gateway.usage import tokens_of

LENGTHS: Mapping[str, tuple[str, ...]] = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "responses": ("max_output_tokens",),
    "generate": ("maxOutputTokens", "max_output_tokens"),
    "array": ("maxOutputTokens", "max_output_tokens"),
}
OTHER_LENGTHS = ("max_tokens",)
OVERRIDING = "n_predict"
NUMBERS = ("n", "best_of", "candidateCount", "candidate_count", "n_cmpl")
HELD = frozenset({"generate", "array"})
HOLDERS = ("generationConfig", "generation_config")
"""What limits an answer's length by the shape of the call, and elsewhere; what asks for several answers; and what holds
both in Gemini's dialect, of these shapes, whose names may be written in two ways. A name of another dialect limits
nothing. `n_predict` and `n_cmpl` are llama.cpp's, which takes them before what is said beside them; so they only add.
https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md"""

UNSAID_OUTPUT = 1024
"""Tokens of an answer whose length the request does not limit: most are shorter."""

OUTPUT_LIMIT = 10**9
"""Tokens of an answer beyond which it does not matter how many; a sum of them still fits into 64 bits."""

SILENT = frozenset({"embeddings", "embed"})
"""Shapes of calls that are answered without a word."""

DATA = 8000
"""Characters of base64 that are paid for. What is longer is an image, or a file, and counts as 2,000 tokens: an image
or a page cost about that much (dialects/anthropic/count_tokens.py has the sources)."""

BASE64 = re.compile(r"(?:data:[^,\s]{0,200},)?[A-Za-z0-9+/=_\r\n-]*+")
"""RFC 4648, in both alphabets, perhaps in lines, perhaps in a URL (RFC 2397). Code has other characters."""


def refuse_background(ask: Ask) -> None:
    """An answer that is made later has no tokens yet when it is answered, and is fetched by calls that use none. Raises
    RequestError 400.

    https://platform.openai.com/docs/guides/background"""
    if ask.shape != "responses" or ask.fields is None or "background" not in ask.fields:
        return
    if ask.fields["background"] in (None, False) and not jsonlib.repeats(ask.body, ask.fields, "background"):
        return
    raise RequestError(
        400,
        "invalid_request_error",
        "'background' must be false: nobody could say here what an answer costs that is made later.",
        param="background",
    )


def estimate_tokens(ask: Ask) -> int:
    """The bytes of a request at four a token, an image at its own price, and the longest answer it allows. Raises
    RequestError 400 for a limit that nobody can read."""
    if ask.shape in FREE:
        return 0
    fields = ask.fields
    if fields is None:  # a form with a file, or bytes that nobody looks into
        return UNSAID_OUTPUT + (tokens_of(len(ask.body)) if ask.shape == "raw" else 0)
    length, several = longest_answer(ask, UNSAID_OUTPUT)
    return tokens_of(prompt_bytes(ask)) + (0 if ask.shape in SILENT else min(length * several, OUTPUT_LIMIT))


def prompt_bytes(ask: Ask) -> int:
    """Of the body, without what its images and files are longer than what they cost."""
    size = len(ask.body)
    return size - _data_bytes(ask.fields) if size > DATA and ask.fields is not None else size


def longest_answer(ask: Ask, unsaid: int, *, long_name: bool = True) -> tuple[int, int]:
    """Tokens of one answer, `unsaid` if the request does not limit them, and how many answers it wants. Raises
    RequestError 400 for a limit that nobody can read.

    Of several limits the largest counts. `long_name`: the provider knows `max_completion_tokens`; one that does not
    takes no notice of it."""
    fields = ask.fields or {}
    settings: list[Mapping[str, Any]] = [fields]
    if ask.shape in HELD:
        settings = [held for name in HOLDERS if isinstance(held := fields.get(name), dict)]
    length = _largest(settings, LENGTHS.get(ask.shape, OTHER_LENGTHS), unsaid)
    if OVERRIDING in fields:
        length = max(length, _largest([fields], (OVERRIDING,), unsaid))
    if not long_name and ask.shape == "chat" and fields.get("max_tokens") is None:
        length = max(length, unsaid)
    return length, _largest(settings, NUMBERS, 1) * _prompts(ask)


def pictures(ask: Ask) -> int:
    """How many are wanted of what has no tokens, in JSON or in a form. Raises RequestError 400."""
    return _largest([{"n": ask.form_n} if ask.fields is None else ask.fields], ("n",), 1)


def _prompts(ask: Ask) -> int:
    """Completions answer each of several prompts. One prompt may be a list, too: of numbers, its tokens.
    https://platform.openai.com/docs/api-reference/completions/create#completions_create-prompt"""
    prompt = (ask.fields or {}).get("prompt")
    if ask.shape != "completions" or not isinstance(prompt, list) or all(type(each) is int for each in prompt):
        return 1
    return len(prompt)


def _largest(settings: Iterable[Mapping[str, Any]], names: tuple[str, ...], unsaid: int) -> int:
    """The largest number under these names, up to OUTPUT_LIMIT. Zero and less limit nothing: that is how llama.cpp,
    vLLM and others read them."""
    largest = 0
    for fields in settings:
        for name in names:
            value = fields.get(name)
            if value is not None:
                number = value if type(value) is int else _read_number(value, name)
                largest = max(largest, number if number > 0 else unsaid)
    return min(largest or unsaid, OUTPUT_LIMIT)


def _read_number(value: object, name: str) -> int:
    """What servers take for a whole number that do not look closely: 5.0, "5", "5.0". RequestError 400 for the rest."""
    try:
        number = float(value) if isinstance(value, float | str) else nan
    except ValueError:
        number = nan
    if not number.is_integer():
        raise RequestError(400, "invalid_request_error", f"'{name}' must be a whole number.", param=name)
    return int(number)


def _data_bytes(fields: Mapping[str, Any]) -> int:
    """Of the body's bytes, those of images and files that are not paid for."""
    found = 0
    rest: list[Any] = [fields]  # JSON may be deeper than Python's stack
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)
        elif isinstance(value, str) and len(value) > DATA and BASE64.fullmatch(value[:DATA]) is not None:
            found += len(value) - DATA
    return found
