"""One call whose client and provider speak different dialects, both ways through the neutral conversation.

Also where they speak the same, but the request carries what another provider has signed (`continuity.py`): only reading
and writing it takes that out. What is lost on the way is refused or dropped as `translation.on_loss` says, and named in
`x-llmgateway-dropped`.

Nothing here waits for anybody: `delivery.py` and `streaming.py` move the bytes. Nothing here is imported before a call
needs it: see `translator.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from gateway import jsonlib
from gateway.conductor.ask import SHAPES, Ask
from gateway.conductor.stream_ends import STATUS_OF_KIND, Reader, Writer, must_not_be_lost
from gateway.conductor.usagewords import usage_words
from gateway.dialects.client_names import client_name
from gateway.dialects.conversation import Answer, Request
from gateway.dialects.dialect import MalformedAnswerError, Plan, Scene, StreamWriter, Target
from gateway.dialects.losses import ContentLostError, Losses, notice, refuse_losses
from gateway.dialects.names import DialectName, Json
from gateway.dialects.registry import Dialect
from gateway.dialects.whole import Collector, to_deltas
from gateway.errors import RequestError
from gateway.upstream.provider import Provider
from gateway.usage import Usage
from gateway.wire.output_tap import OutputTap

OVERLOADED = 529
"""Anthropic's own status; its SDK alone knows what it means."""

TYPES: dict[DialectName, str] = {
    "openai_chat": "openai",
    "openai_responses": "openai",
    "anthropic": "anthropic",
    "gemini": "gemini",
}
"""The type of provider that takes each dialect as it is."""

GENERATE = "/models/{model}:generateContent"
STREAM_GENERATE = "/models/{model}:streamGenerateContent"
EMBED = "/models/{model}:batchEmbedContents"


def translate(
    ask: Ask,
    client: Dialect,
    upstream: Dialect,
    provider: Provider,
    model: str,
    on_loss: str,
    now: float,
    new_id: str,
    *,
    whole: bool = False,
) -> Translation:
    """A conversation. `now` is in unix seconds; `whole`: the provider is asked for a whole answer, whatever the client
    wants. Raises RequestError 400 for what cannot be said to the provider."""
    losses, other = Losses(), "" if upstream is client else TYPES[client.name]
    assert ask.fields is not None  # a conversation's body is an object
    fields = dict(ask.fields)
    if not ask.model and ask.dialect != "gemini":
        fields["model"] = model  # the provider's default_model
    try:
        request = client.read_request(fields, losses, model=ask.model, stream=ask.stream)
        losses.name = partial(client_name, request=request, body=fields, names=client.client_names)
        quirks = provider.quirks if upstream is not client else frozenset[str]()  # its own clients know their server
        asked = replace(request, stream=request.stream and not whole)
        written = upstream.write_request(asked, Target(provider.name, model, quirks), losses)
        if whole:
            written.body.pop("stream_options", None)
        body = jsonlib.dumps(written.body)
    except (RecursionError, TypeError):  # JSON can be read deeper than it can be written
        raise too_deep() from None
    except RequestError:
        refuse_losses(losses, on_loss, other)  # what is missing may be what was lost
        raise
    refuse_losses(losses, on_loss, other)
    scene = Scene(request, ask.model, provider.name, int(now), new_id)
    unshown = Losses(strict=on_loss == "reject")
    return Translation(client, upstream, scene, body, written.plan, losses, unshown, asked.stream, ask)


def translate_embedding(ask: Ask, client: Dialect, upstream: Dialect, model: str, on_loss: str) -> Embedding:
    """A call for vectors. Raises RequestError 400 for what cannot be said to the provider."""
    embedding = Embedding(client, upstream, ask, model)
    refuse_losses(embedding.losses, on_loss, TYPES[client.name])
    return embedding


def estimate(ask: Ask, client: Dialect) -> int:
    """About how many input tokens a request has. Raises RequestError 400 for one that cannot be read."""
    from gateway.dialects.anthropic.count_tokens import estimate_tokens

    try:
        return estimate_tokens(read_counted(ask, client, Losses()))
    except (RecursionError, TypeError):
        raise too_deep() from None


def counted_fields(ask: Ask) -> Json:
    """The request that is to be counted. Gemini's countTokens may wrap it."""
    assert ask.fields is not None
    asked = ask.fields.get("generateContentRequest")
    return dict(asked if isinstance(asked, dict) else ask.fields)


def read_counted(ask: Ask, client: Dialect, losses: Losses) -> Request:
    """What is to be counted. Raises RequestError 400 for what cannot be read."""
    fields = counted_fields(ask)
    if ask.dialect != "gemini":
        fields.setdefault("model", "unnamed")
    return client.read_request(fields, losses, model=ask.model)


class Translation:
    """One call's. `body` and `place` are for the provider; the other methods read what it answers and write it for the
    client. `losses` are the request's, `unshown` will be the answer's. `usage` is what the last answer that was read
    reported, `output` the text that came in it, if it was a stream."""

    def __init__(
        self,
        client: Dialect,
        upstream: Dialect,
        scene: Scene,
        body: bytes,
        plan: Plan,
        losses: Losses,
        unshown: Losses,
        streamed: bool,
        ask: Ask,
    ) -> None:
        self._client = client
        self._upstream = upstream
        self._scene = scene
        self._plan = plan
        self._losses = losses
        self._unshown = unshown
        self._ask = ask
        self._answer: Answer | None = None
        self.body = body
        self.streamed = streamed
        self.usage: Usage | None = None
        self.output = OutputTap("")

    @property
    def dialect(self) -> DialectName:
        """The provider's."""
        return self._upstream.name

    @property
    def shape(self) -> str:
        return SHAPES[self._upstream.name]

    @property
    def place(self) -> tuple[str, str]:
        """Path after the version, with `{model}` as in an ask, and query. In its own dialect they are the client's."""
        if self._upstream is self._client:
            return (self._ask.path, self._ask.query) if self.streamed else whole_place(self._ask)
        match self._upstream.name:
            case "openai_chat":
                return "/chat/completions", ""
            case "openai_responses":
                return "/responses", ""
            case "anthropic":
                return "/messages", ""
            case "gemini":
                return (STREAM_GENERATE, "alt=sse") if self.streamed else (GENERATE, "")

    @property
    def dropped(self) -> str:
        """What the header x-llmgateway-dropped says; empty: nothing is lost."""
        return notice(Losses(self._losses.entries + self._unshown.entries))

    def read(self, decoded: object) -> None:
        """See `upstream.reading.Reading`."""
        self._answer = self._upstream.read_answer(decoded, self._plan)
        self.usage, self.output = self._answer.usage, OutputTap(self.shape)

    def read_stream(self, body: bytes) -> None:
        """See `upstream.reading.Reading`."""
        collector, output = Collector(), OutputTap(self.shape)
        reader = self.reader(str, output)
        collector.feed(reader.feed(body))
        if not reader.ended:
            collector.feed(reader.end())
        if collector.failure is not None:
            raise MalformedAnswerError(collector.failure.message)
        self._answer, self.usage, self.output = collector.answer, reader.usage, output

    def written(self) -> bytes:
        """The answer that was read, whole or as a stream as the client wants it. Raises RequestError 400 for what must
        not be lost."""
        answer = self._answer
        assert answer is not None
        try:
            if self._ask.stream:
                return self._stream_writer().write(to_deltas(answer))
            return jsonlib.dumps(self._client.write_answer(answer, self._scene, self._unshown))
        except ContentLostError as lost:
            raise RequestError(400, "invalid_request_error", must_not_be_lost(lost)) from None
        except (RecursionError, TypeError):
            raise RequestError(502, "upstream_error", "The provider's answer is nested too deeply.") from None

    def failure(self, status: int, said: object) -> tuple[int, bytes, float | None]:
        """A provider's error in the client's shape; see `translate_failure`."""
        return translate_failure(self._client, self._upstream, status, said)

    def reader(self, conceal: Callable[[str], str], output: OutputTap | None = None) -> Reader:
        """`conceal` takes the key out of what the provider says."""
        return Reader(self._upstream.stream_reader(self._plan), conceal, output)

    def writer(self) -> Writer:
        comments = self._client.name != "gemini"  # Google's SDK takes one for the beginning of an error
        return Writer(self._stream_writer(), self._unshown, comments=comments)

    def _stream_writer(self) -> StreamWriter:
        if self._ask.array:
            from gateway.dialects.gemini.stream_writer import StreamWriter as ArrayWriter

            return ArrayWriter(self._scene, self._unshown, array=True)
        return self._client.stream_writer(self._scene, self._unshown)


class Embedding:
    """Embeddings between OpenAI's dialect and Gemini's, which have no conversation to go through."""

    def __init__(self, client: Dialect, upstream: Dialect, ask: Ask, model: str) -> None:
        from gateway.dialects.gemini import embeddings

        self._client = client
        self._upstream = upstream
        self._ask = ask
        self._model = model
        self._fields = dict(ask.fields or {})
        self.streamed = False
        self.losses = Losses()
        self.usage: Usage | None = None
        self.output = OutputTap("")
        self._answer: object = None
        write = embeddings.write_gemini_request if upstream.name == "gemini" else embeddings.write_openai_request
        self.body = jsonlib.dumps(write(self._fields, model, self.losses))

    @property
    def dialect(self) -> DialectName:
        return self._upstream.name

    @property
    def shape(self) -> str:
        return "embed" if self._upstream.name == "gemini" else "embeddings"

    @property
    def place(self) -> tuple[str, str]:
        if self._upstream.name == "gemini":
            return EMBED, ""
        return "/embeddings", ""

    @property
    def dropped(self) -> str:
        return notice(self.losses)

    def read(self, decoded: object) -> None:
        """The vectors. See `upstream.reading.Reading`."""
        from gateway.dialects.gemini import embeddings

        if self._upstream.name == "gemini":
            as_base64 = embeddings.wants_base64(self._fields)
            self._answer = embeddings.write_openai_answer(decoded, self._ask.model, as_base64=as_base64)
        else:
            self._answer = embeddings.write_gemini_answer(decoded, single="requests" not in self._fields)
        self.usage = usage_words(self.shape).read(decoded)

    def read_stream(self, body: bytes) -> None:
        raise MalformedAnswerError("vectors do not come as a stream")

    def written(self) -> bytes:
        return jsonlib.dumps(self._answer)

    def failure(self, status: int, said: object) -> tuple[int, bytes, float | None]:
        return translate_failure(self._client, self._upstream, status, said)


def whole_place(ask: Ask) -> tuple[str, str]:
    """Path and query of the method that gives a whole answer. Only Gemini has another one."""
    if ask.dialect != "gemini":
        return ask.path, ask.query
    query = "&".join(part for part in ask.query.split("&") if part.partition("=")[0] != "alt")
    return ask.path.replace(":streamGenerateContent", ":generateContent"), query


def translate_failure(client: Dialect, upstream: Dialect, status: int, said: object) -> tuple[int, bytes, float | None]:
    """A provider's error in the client's shape: status, body, and the seconds after which to try again, if it said.

    `said` is its body, decoded or as text; `status` is 200 where the error came inside an answer."""
    failure = upstream.read_failure(status if status >= 400 else 0, said)
    status = failure.status or STATUS_OF_KIND.get(failure.kind, 502)
    if status == OVERLOADED and client.name != "anthropic":
        status = 503
    return status, jsonlib.dumps(client.write_failure(replace(failure, status=status))), failure.retry_after


def too_deep() -> RequestError:
    return RequestError(400, "invalid_request_error", "The body is nested too deeply.")
