"""A model's streamed answer: streamGenerateContent with `alt=sse`, event by event.

Every event is a GenerateContentResponse with what is new, and counts that are cumulative. Some models say
`finishReason` in every event and some in one without words; nothing marks the end. So a choice has finished when the
bytes have ended and it once said why; a stream that ends before that is broken.

Texts and thoughts run over many events and are one block until another kind of part comes. A signature belongs to the
block that it comes with, or right behind; what follows is another block. What a text rests on is told at its end: every
event may say it anew, and counts in the whole text.

Source: https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent
"""

from __future__ import annotations

from dataclasses import field, replace

from gateway import jsonlib
from gateway.dialects.conversation import Citation, Ending, Part, Text, Thinking, ToolCall
from gateway.dialects.deltas import Begin, Broken, Cited, Close, Delta, End, Finished, More, Open, Signed, Used
from gateway.dialects.dialect import Plan
from gateway.dialects.failure import Failure, FailureKind
from gateway.dialects.gemini.answer_reader import AnswerCalls, index_of, read_created, said, signer, tier_of
from gateway.dialects.gemini.callids import answer_seed
from gateway.dialects.gemini.citations import read_citations
from gateway.dialects.gemini.errors import carries_error, read_failure
from gateway.dialects.gemini.events import DONE
from gateway.dialects.gemini.finish import finish_word, read_block, read_ending
from gateway.dialects.gemini.logprobs import read_logprobs
from gateway.dialects.gemini.part_reader import is_void, read_part
from gateway.dialects.gemini.protojson import camel, message, messages
from gateway.dialects.gemini.usage import read_usage
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.errors import RequestError
from gateway.quick import dataclass
from gateway.usage import Usage
from gateway.wire.sse import Event


@dataclass(slots=True)
class _Run:
    """An open block of text or thoughts. The words are kept for citations, which count their bytes, and `sources` are
    what the candidate said of them."""

    block: int
    kind: type[Text] | type[Thinking]
    words: list[str] = field(default_factory=list)
    sources: list[Json] = field(default_factory=list)
    signed: bool = False


@dataclass(slots=True)
class _Candidate:
    number: int
    run: _Run | None = None
    has_calls: bool = False
    word: str = ""
    message: object = None
    cited: set[Citation] = field(default_factory=set)


class StreamReader:
    """One stream. Never raises."""

    __slots__ = (
        "_begun", "_blocked", "_blocks", "_calls", "_candidates", "_ended", "_plan", "_sign", "_unnoted", "_usage",
    )  # fmt: skip

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._sign = signer(plan)
        self._unnoted = Losses()  # nobody is told of fields that an answer has beside its parts
        self._calls = AnswerCalls("", plan)
        self._candidates: dict[int, _Candidate] = {}
        self._blocks = 0
        self._begun = False
        self._ended = False
        self._usage: Usage | None = None
        self._blocked: Ending | None = None

    def feed(self, event: Event) -> list[Delta]:
        """What an event says. After the end: nothing."""
        if self._ended:
            return []
        try:
            payload = jsonlib.loads(event.data)
        except ValueError:
            done = event.data.strip() == DONE
            return self.end() if done else self._break(_failure("an event of the provider is no JSON"))
        if event.event == "error" or carries_error(payload):
            return self._break(read_failure(0, payload))
        if not isinstance(payload, dict):
            return self._break(_failure("an event of the provider is no JSON object"))
        deltas: list[Delta] = []
        try:
            self._take(camel(payload), event.data, deltas)
        except RequestError as exc:  # the readers of requests read answers, too
            return deltas + self._break(_failure(f"an event of the provider cannot be read: {exc.message}"))
        return deltas

    def end(self) -> list[Delta]:
        """The bytes ended."""
        if self._ended:
            return []
        finished = self._candidates and all(candidate.word for candidate in self._candidates.values())
        if not finished and (self._blocked is None or self._candidates):
            return self._break(_failure("the provider's stream ended before its answer did"))
        self._ended = True
        deltas: list[Delta] = self._close_all()
        for number, candidate in sorted(self._candidates.items()):
            deltas.append(Finished(read_ending(candidate.word, candidate.message, candidate.has_calls), number))
        if not self._candidates and self._blocked is not None:
            deltas.append(Finished(self._blocked))
        return [*deltas, End()]

    def _break(self, failure: Failure) -> list[Delta]:
        self._ended = True
        begin: list[Delta] = [] if self._begun else [Begin("", "")]
        return [*begin, *self._close_all(), Broken(failure)]

    def _close_all(self) -> list[Delta]:
        deltas: list[Delta] = []
        for candidate in self._candidates.values():
            self._close(candidate, deltas)
        return deltas

    def _take(self, fields: Json, data: str, deltas: list[Delta]) -> None:
        usage = read_usage(fields)
        if not self._begun:
            self._begun = True
            answer_id = said(fields, "responseId")
            self._calls = AnswerCalls(answer_seed(answer_id, data.encode("utf-8", "surrogatepass")), self._plan)
            created, tier = read_created(fields), tier_of(fields)
            deltas.append(Begin(answer_id, said(fields, "modelVersion"), created, usage, tier))
        if "promptFeedback" in fields:
            self._blocked = self._blocked or read_block(fields["promptFeedback"])
        for path, said_of in messages(fields, "candidates"):
            number = index_of(said_of, 0)
            candidate = self._candidates.get(number)
            if candidate is None:
                candidate = self._candidates[number] = _Candidate(number)
            self._take_candidate(candidate, said_of, path, deltas)
        if usage is not None and usage != self._usage:
            self._usage = usage
            deltas.append(Used(usage))

    def _take_candidate(self, candidate: _Candidate, fields: Json, path: str, deltas: list[Delta]) -> None:
        content = message(fields, "content", path)
        begin = len(deltas)
        for here, part in messages(content, "parts", f"{path}.content"):
            self._take_part(candidate, read_part(part, here, self._calls, self._sign, self._unnoted), deltas)
        self._unnoted.entries.clear()
        if "logprobsResult" in fields:
            _add_logprobs(deltas, begin, read_logprobs(fields["logprobsResult"]))
        if "groundingMetadata" in fields or "citationMetadata" in fields:
            self._note_sources(candidate, fields)
        if word := finish_word(fields.get("finishReason")):
            candidate.word, candidate.message = word, fields.get("finishMessage")

    def _take_part(self, candidate: _Candidate, part: Part, deltas: list[Delta]) -> None:
        if isinstance(part, Text | Thinking):
            self._take_words(candidate, part, deltas)
            return
        self._close(candidate, deltas)
        block = self._next_block()
        if isinstance(part, ToolCall):
            candidate.has_calls = True
            deltas += [Open(block, replace(part, arguments=""), candidate.number), More(block, part.arguments)]
        else:
            deltas.append(Open(block, part, candidate.number))
        deltas.append(Close(block))

    def _take_words(self, candidate: _Candidate, part: Text | Thinking, deltas: list[Delta]) -> None:
        if is_void(part):
            return
        run = candidate.run
        if run is None or run.kind is not type(part) or run.signed:
            self._close(candidate, deltas)
            run = candidate.run = _Run(self._next_block(), type(part))
            deltas.append(Open(run.block, run.kind(""), candidate.number))
        if part.text:
            run.words.append(part.text)
            deltas.append(More(run.block, part.text))
        if part.signature is not None:
            run.signed = True
            deltas.append(Signed(run.block, part.signature))

    def _note_sources(self, candidate: _Candidate, fields: Json) -> None:
        """What the open text rests on. Every event may say it; what it says counts the bytes of the whole text."""
        if candidate.run is not None and candidate.run.kind is Text:
            candidate.run.sources.append({name: fields[name] for name in _SOURCES if name in fields})

    def _next_block(self) -> int:
        self._blocks += 1
        return self._blocks - 1

    def _close(self, candidate: _Candidate, deltas: list[Delta]) -> None:
        run, candidate.run = candidate.run, None
        if run is None:
            return
        words = ["".join(run.words)] if run.sources else []
        cited = dict.fromkeys(cited for sources in run.sources for _, cited in read_citations(sources, words))
        deltas += [Cited(run.block, citation) for citation in cited if citation not in candidate.cited]
        candidate.cited.update(cited)
        deltas.append(Close(run.block))


_SOURCES = ("groundingMetadata", "citationMetadata")


def _add_logprobs(deltas: list[Delta], begin: int, logprobs: Json | None) -> None:
    """Puts log probabilities on the last words of a candidate's event."""
    for place in range(len(deltas) - 1, begin - 1, -1):
        delta = deltas[place]
        if isinstance(delta, More):
            deltas[place] = delta._replace(logprobs=logprobs)
            return


def _failure(text: str) -> Failure:
    return Failure(0, FailureKind.SERVER, text)
