"""A model's whole answer: the GenerateContentResponse of generateContent.

A prompt that Google did not answer has no candidates and says why in `promptFeedback`; it is read as one choice that
was filtered. Calls without an id get one that is unique in the conversation. What the request's writer renamed, or made
a function of, is undone by the plan.

Source: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from __future__ import annotations

from dataclasses import replace

from gateway import jsonlib
from gateway.dialects import custom_tools
from gateway.dialects.conversation import Answer, Choice, Ending, Opaque, Part, Signature, Text, ToolCall
from gateway.dialects.dialect import MalformedAnswerError, Plan
from gateway.dialects.gemini.callids import answer_id, answer_seed
from gateway.dialects.gemini.citations import read_citations
from gateway.dialects.gemini.errors import carries_error
from gateway.dialects.gemini.finish import calls_in, finish_word, read_block, read_ending
from gateway.dialects.gemini.logprobs import read_logprobs
from gateway.dialects.gemini.part_reader import Sign, is_void, read_arguments, read_part
from gateway.dialects.gemini.protojson import camel, message, messages
from gateway.dialects.gemini.tiers import read_tier
from gateway.dialects.gemini.usage import read_usage
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.dialects.reading import refuse, required_text, text
from gateway.errors import RequestError


def read_answer(body: object, plan: Plan) -> Answer:
    """Raises MalformedAnswerError for what is no answer, an error among it."""
    if not isinstance(body, dict) or carries_error(body):
        raise MalformedAnswerError("an error, or no JSON object")
    fields = camel(body)
    try:
        choices = _read_choices(fields, plan)
    except RequestError as exc:  # the readers of requests read answers, too
        raise MalformedAnswerError(exc.message) from exc
    return Answer(
        id=said(fields, "responseId"),
        model=said(fields, "modelVersion"),
        choices=choices,
        usage=read_usage(fields),
        created=read_created(fields),
        service_tier=tier_of(fields),
    )


def said(fields: Json, name: str) -> str:
    """A text that nothing depends on, "" where it is none."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def tier_of(fields: Json) -> str:
    """The tier that an answer was given by, "" where not said."""
    usage = fields.get("usageMetadata")
    return read_tier(said(camel(usage), "serviceTier")) if isinstance(usage, dict) else ""


def read_created(fields: Json) -> int:
    """`createTime` (RFC 3339, Vertex AI alone has it) in unix seconds, 0 where not said."""
    from datetime import datetime

    try:
        return max(int(datetime.fromisoformat(said(fields, "createTime")).timestamp()), 0)
    except (ValueError, OverflowError, OSError):
        return 0


def _read_choices(fields: Json, plan: Plan) -> tuple[Choice, ...]:
    candidates = [candidate for _, candidate in messages(fields, "candidates")]
    if not candidates:
        block = read_block(fields.get("promptFeedback"))
        if block is None:
            raise MalformedAnswerError("no candidates, and no reason why")
        return (Choice((), block),)
    calls = AnswerCalls(answer_seed(said(fields, "responseId"), _data_of(fields)), plan)
    choices = [_read_choice(each, f"candidates.{place}", calls, plan) for place, each in enumerate(candidates)]
    order = sorted(range(len(choices)), key=lambda place: index_of(candidates[place], place))
    return tuple(choices[place] for place in order)


def _data_of(fields: Json) -> bytes:
    try:
        return jsonlib.dumps(fields)
    except (TypeError, ValueError, RecursionError):
        return b""


def index_of(candidate: Json, otherwise: int) -> int:
    """The number of a candidate; zeros are left out by Google."""
    index = candidate.get("index")
    return index if type(index) is int and index >= 0 else otherwise


def _read_choice(candidate: Json, path: str, calls: AnswerCalls, plan: Plan) -> Choice:
    content = message(candidate, "content", path)
    sign, unnoted = signer(plan), Losses()  # nobody is told of fields that an answer has beside its parts
    found = messages(content, "parts", f"{path}.content")
    read = (read_part(each, here, calls, sign, unnoted) for here, each in found)
    parts = [part for part in read if not is_void(part)]
    word = finish_word(candidate.get("finishReason"))
    ending: Ending = read_ending(word, candidate.get("finishMessage"), calls_in(parts))
    return Choice(_cited(candidate, parts), ending, read_logprobs(candidate.get("logprobsResult")))


def _cited(candidate: Json, parts: list[Part]) -> tuple[Part, ...]:
    places = [place for place, part in enumerate(parts) if isinstance(part, Text)]
    texts = [part.text for part in parts if isinstance(part, Text)]
    for number, citation in read_citations(candidate, texts):
        part = parts[places[number]]
        assert isinstance(part, Text)
        parts[places[number]] = replace(part, citations=(*part.citations, citation))
    return tuple(parts)


def signer(plan: Plan) -> Sign:
    """How a model's signatures are read: they are for the provider that gave them."""
    return lambda data: Signature(data, "gemini", plan.provider)


class AnswerCalls:
    """The calls of one answer, as the client knows their functions."""

    __slots__ = ("_count", "_plan", "_seed")

    def __init__(self, seed: str, plan: Plan) -> None:
        self._seed = seed
        self._plan = plan
        self._count = 0

    def call(self, fields: Json, path: str, signature: Signature | None) -> ToolCall:
        name, arguments = required_text(fields, "name", path), read_arguments(fields, path)
        if not name:
            refuse(f"{path}.name", "is empty.")
        call_id = text(fields, "id", path) or answer_id(self._seed, self._count)
        self._count += 1
        custom = name in self._plan.custom
        if custom:
            arguments = custom_tools.unwrap(arguments)
        return ToolCall(call_id, self._plan.names.get(name, name), arguments, custom, signature)

    def result(self, fields: Json, path: str, losses: Losses) -> Opaque:
        return Opaque("gemini", {"functionResponse": fields})  # no model gives one
