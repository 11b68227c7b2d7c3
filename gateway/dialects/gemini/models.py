"""What the models of Google can be asked, by their names.

The first row whose pattern matches counts. A name that no row knows is a newer Gemini, or a proxy's own name for one:
it is asked as Gemini 3 is, with the levels that every model since then has.

Sources: https://ai.google.dev/gemini-api/docs/generate-content/thinking,
https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/thinking,
https://ai.google.dev/gemini-api/docs/generate-content/latest-model (Gemini 4),
https://ai.google.dev/gemini-api/docs/structured-output, https://ai.google.dev/gemini-api/docs/media-resolution,
https://ai.google.dev/gemini-api/docs/image-generation,
https://ai.google.dev/gemini-api/docs/file-input-methods, https://ai.google.dev/gemini-api/docs/thought-signatures
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

from gateway.quick import dataclass

ThinkingKind = Literal["none", "budget", "level"]


@dataclass(frozen=True, slots=True)
class Traits:
    """`thinking`: how it is told how much to think. With "budget": tokens between `budget_min` and `budget_max`, 0 too
    where `can_rest`. With "level": one of `levels`, least first; none of these models can be told not to think.

    `json_schema`: takes `responseJsonSchema` and `parametersJsonSchema`. `json_with_tools`: takes a response format
    beside functions. `media_results`: images and PDFs inside a functionResponse. `media_resolution`: per part.
    `fetches`: public https addresses in `fileData`. `signed_calls`: a functionCall of the current turn without a
    thoughtSignature is a 400. `penalties`: for presence and frequency; "Penalty is not enabled for this model"
    elsewhere (google-gemini/cookbook#1290, vercel/ai#8943). `instructions`, `functions`, `json_mode`: takes
    `systemInstruction`, functions, and `responseMimeType` for JSON. Gemma 3 and 3n answer 400 to each: "Developer
    instruction", "Function calling", "JSON mode is not enabled for models/gemma-3-27b-it" (google/adk-python#3900,
    litellm#10313); Gemma 4 takes them, and the two levels (earendil-works/pi#2812, google-gemma/cookbook#307).
    `images`: it answers in images unless told otherwise.
    """

    thinking: ThinkingKind = "level"
    levels: tuple[str, ...] = ("LOW", "MEDIUM", "HIGH")
    budget_min: int = 0
    budget_max: int = 0
    can_rest: bool = False
    json_schema: bool = True
    json_with_tools: bool = True
    media_results: bool = True
    media_resolution: bool = True
    fetches: bool = True
    signed_calls: bool = True
    penalties: bool = False
    instructions: bool = True
    functions: bool = True
    json_mode: bool = True
    images: bool = False


_FOUR = ("MINIMAL", "LOW", "MEDIUM", "HIGH")


def _older(
    thinking: ThinkingKind, low: int = 0, high: int = 0, *, rest: bool = False, json: bool = True, bias: bool = False
) -> Traits:
    """A model before Gemini 3: no schema beside functions, no media in results, no signatures asked for."""
    return Traits(thinking, (), low, high, rest, json, False, False, False, json, False, bias)


_TABLE: tuple[tuple[re.Pattern[str], Traits], ...] = tuple(
    (re.compile(pattern), traits)
    for pattern, traits in (
        (r"gemini-3-pro", Traits(levels=("LOW", "HIGH"))),
        (r"gemini-3\.1-pro", Traits()),
        (r"gemini-3\.[78]-flash", Traits()),
        (r"gemini-3(?:\.\d+)?-flash", Traits(levels=_FOUR)),
        (r"gemini-2\.5-flash-lite|gemini-flash-lite-2\.5", _older("budget", 512, 24_576, rest=True)),
        (r"gemini-2\.5-flash-(?:image|preview-tts|native-audio)", _older("none")),
        (r"gemini-2\.5-pro-preview-tts", _older("none")),
        (r"gemini-2\.5-flash", _older("budget", 1, 24_576, rest=True)),
        (r"gemini-2\.5-pro|gemini-2\.5", _older("budget", 128, 32_768)),
        (r"gemini-robotics-er-1\.[56]", _older("budget", 1, 24_576, rest=True)),
        (r"gemini-2\.0-flash(?!-thinking)", _older("none", json=False, bias=True)),
        (r"gemma-(?:[4-9]|\d\d)", replace(_older("level", json=False), levels=("MINIMAL", "HIGH"))),
        (r"gemma", replace(_older("none", json=False), instructions=False, functions=False, json_mode=False)),
        (r"gemini-(?:1\.|2\.0|pro(?!-latest)|exp|embedding)|learnlm|embedding|text-", _older("none", json=False)),
    )
)

NEWER = Traits()


def traits_of(model: str) -> Traits:
    """The traits of a model; `models/` or a publisher's path before the name does not matter."""
    name = model.rpartition("/")[2].lower()
    traits = next((traits for pattern, traits in _TABLE if pattern.match(name)), NEWER)
    return replace(traits, images=True) if "-image" in name else traits
