"""An answer for a client of this dialect: a GenerateContentResponse.

Source: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from __future__ import annotations

from gateway.dialects.conversation import Answer, Choice, Text
from gateway.dialects.dialect import Scene
from gateway.dialects.gemini.citations import write_citations
from gateway.dialects.gemini.finish import write_ending
from gateway.dialects.gemini.logprobs import write_logprobs
from gateway.dialects.gemini.part_writer import write_part
from gateway.dialects.gemini.tiers import write_tier
from gateway.dialects.gemini.usage import write_usage
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.usage import Usage


def write_answer(answer: Answer, scene: Scene, losses: Losses) -> Json:
    """The whole body. The model is the one that the client asked for."""
    candidates = [_write_choice(choice, place, scene, losses) for place, choice in enumerate(answer.choices)]
    return {"candidates": candidates, **write_frame(answer.id, answer.usage, answer.service_tier, scene)}


def write_frame(answer_id: str, usage: Usage | None, tier: str, scene: Scene) -> Json:
    """What stands beside the candidates: usage, model and id."""
    counted = {} if usage is None else write_usage(usage)
    if word := write_tier(tier):
        counted["serviceTier"] = word
    frame = {"modelVersion": scene.model, "responseId": answer_id or scene.id}
    return {"usageMetadata": counted, **frame} if counted else frame


def _write_choice(choice: Choice, place: int, scene: Scene, losses: Losses) -> Json:
    parts: list[Json] = []
    cited = []
    for part in choice.parts:
        if isinstance(part, Text):
            cited += [(len(parts), part.text, citation) for citation in part.citations]
        written = write_part(part, scene.provider, losses)
        if written is not None:
            parts.append(written)
    candidate: Json = {"content": {"parts": parts, "role": "model"}, **write_ending(choice.ending), "index": place}
    if cited:
        candidate["groundingMetadata"] = write_citations(cited)
    if choice.logprobs is not None:
        candidate["logprobsResult"] = write_logprobs(choice.logprobs)
    return candidate
