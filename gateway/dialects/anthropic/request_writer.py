"""A neutral request as Messages takes it.

A request that came in this dialect is written as its client said it: reading and writing give the same body, but for
what `read_request` notes as lost and for one form where Anthropic has two (content as an array of blocks, neighbours of
one role as one message), and for thoughts that Claude would refuse. Requests of other dialects are fitted to the model
(`models.py`).

- System and developer messages are hoisted to `system`, joined by a line break; as blocks where one has several parts
  or a cache mark. One amid the conversation so loses its place, which is noted, and with it what was cached and, with
  the newest models, thoughts that are bound to what came before. Models that take it there get it there: behind what
  the user says, before the answer. One behind an answer, with nothing of the user's between, is hoisted there, too.
- The results of one turn's calls are one user's message, results first.

Source: https://platform.claude.com/docs/en/api/messages, https://platform.claude.com/docs/en/api/openai-sdk
"""

from __future__ import annotations

import hashlib
import re

from gateway.dialects.anthropic.block_reader import DIALECT
from gateway.dialects.anthropic.block_writer import BlockWriter
from gateway.dialects.anthropic.models import Traits, traits_of
from gateway.dialects.anthropic.thinking_writer import Thought, write_reasoning
from gateway.dialects.anthropic.tools_writer import ToolSet, write_tools
from gateway.dialects.conversation import Refusal, Request, Text
from gateway.dialects.dialect import Target, Written
from gateway.dialects.losses import Losses
from gateway.dialects.names import Json
from gateway.dialects.toolnames import rewritten_names

_PERSON = re.compile(r"[^\s@]@[^\s@]+\.[^\s@]|^\+?[\d\s()./-]{7,}$")
"""What looks like an e-mail address or a telephone number. "user_id appears to contain an email address. Please send a
uuid or hash value" (litellm#10106); telephone numbers and names are forbidden as well."""

MAX_USER = 256
"""Characters of `metadata.user_id`. https://platform.claude.com/docs/en/api/messages/create"""

_TIERS = {"auto": "auto", "default": "standard_only"}


def write_request(request: Request, target: Target, losses: Losses) -> Written:
    """Raises RequestError 400 for a call whose arguments are no JSON object, and for a request without content."""
    native, traits = request.dialect == DIALECT, traits_of(target.model)
    names = rewritten_names(request, DIALECT)
    tools = write_tools(request, traits, target.provider, names, losses)
    thought = write_reasoning(request, traits, target.provider, losses, forced=tools.forced)
    blocks = BlockWriter(target.provider, names, losses, native=native, signed=traits.signed)
    body: Json = {"model": target.model, "max_tokens": thought.max_tokens}
    body.update(_conversation(request, blocks, traits, tools.instruction, losses))
    if tools.tools:
        body["tools"] = tools.tools
    if tools.choice is not None:
        body["tool_choice"] = tools.choice
    body.update(_output(thought, tools))
    body.update(_sampling(request, traits, losses, native=native, thinking=thought.on))
    body.update(_stop(request, losses, native=native))
    body.update(_about(request, losses))
    if request.stream:
        body["stream"] = True
    if not native:
        _note_unsupported(request, losses)
    _put_back(request, body, losses)
    return Written(body, tools.plan)


# --- conversation ----------------------------------------------------------------------------------------------------


def _conversation(request: Request, blocks: BlockWriter, traits: Traits, instruction: str, losses: Losses) -> Json:
    """`system` and `messages`."""
    system: list[list[Json]] = []
    turns: list[Json] = []
    late: list[tuple[str, list[Json]]] = []
    for place, message in enumerate(request.messages):
        path, role = f"messages.{place}", message.role
        written = blocks.blocks(message.parts, path, role)
        if message.name:
            losses.hint(f"{path}.name", "message_name", "Claude does not tell participants apart.")
        if role in ("system", "developer"):
            if not turns:
                system.append(written)
            elif request.dialect == DIALECT:
                turns.append({"role": "system", "content": written})
            elif written:
                late.append((path, written))
            continue
        if role == "assistant" and written:
            _settle(late, turns, system, traits, losses)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += written
        elif written:
            turns.append({"role": role, "content": written})
    _settle(late, turns, system, traits, losses)
    if instruction:
        system.append([{"type": "text", "text": instruction}])
    return _whole(system, turns, request, losses)


def _settle(
    late: list[tuple[str, list[Json]]], turns: list[Json], system: list[list[Json]], traits: Traits, losses: Losses
) -> None:
    """Finds a place for instructions that stand amid the conversation, before the model's next turn. Anthropic takes
    them as one message, behind the user's."""
    if late and traits.system_amid and turns[-1]["role"] == "user":
        turns.append({"role": "system", "content": [block for _, written in late for block in written]})
    else:
        for path, written in late:
            losses.hint(path, "system_position", "Claude has its instructions at the front.")
            system.append(written)
    late.clear()


def _whole(system: list[list[Json]], turns: list[Json], request: Request, losses: Losses) -> Json:
    if not turns:
        prompt = [block for written in system for block in written]
        if not prompt:
            losses.refuse("messages", "must have content.")
        losses.hint("messages.0.role", "system_role", "Claude needs a user's message; the instructions are it.")
        return {"messages": [{"role": "user", "content": prompt}]}
    for turn in turns:
        if turn["role"] == "user":
            turn["content"].sort(key=lambda block: block.get("type") != "tool_result")
    if turns[-1]["role"] == "assistant" and request.dialect != DIALECT:
        _trim_prefill(turns[-1]["content"], request, losses)
    conversation: Json = {"messages": turns}
    if any(system):
        conversation["system"] = _system([written for written in system if written])
    return conversation


def _system(system: list[list[Json]]) -> str | list[Json]:
    if all(len(written) == 1 and set(written[0]) == {"type", "text"} for written in system):
        return "\n".join(written[0]["text"] for written in system)
    return [block for written in system for block in written]


def _trim_prefill(content: list[Json], request: Request, losses: Losses) -> None:
    """Anthropic refuses white space at the end of an answer that it is to go on with."""
    last = content[-1]
    text = last.get("text")
    if isinstance(text, str) and text != text.rstrip():
        said = [
            f"messages.{place}.parts.{number}"
            for place, message in enumerate(request.messages)
            for number, part in enumerate(message.parts)
            if message.role == "assistant" and isinstance(part, Text | Refusal)
        ]
        losses.hint(said[-1], "prefill_space", "white space at the end of an answer to go on with is cut.")
        content[-1] = {**last, "text": text.rstrip()}


# --- fields ----------------------------------------------------------------------------------------------------------


def _output(thought: Thought, tools: ToolSet) -> Json:
    body: Json = {}
    config: Json = {"effort": thought.effort} if thought.effort else {}
    if tools.format is not None:
        config["format"] = tools.format
    if thought.thinking is not None:
        body["thinking"] = thought.thinking
    if config:
        body["output_config"] = config
    return body


def _sampling(request: Request, traits: Traits, losses: Losses, *, native: bool, thinking: bool) -> Json:
    """Newer models, and all while they think, take no sampling; temperatures end at 1; some take either temperature or
    top_p."""
    asked = request.sampling
    body = {
        name: value
        for name, value in (("temperature", asked.temperature), ("top_p", asked.top_p), ("top_k", asked.top_k))
        if value is not None
    }
    if native:
        return body
    if traits.sampling == "none" or thinking:
        for name, value in body.items():
            if not (name in ("temperature", "top_p") and value == 1):
                losses.hint(f"sampling.{name}", name, "this model, or its thinking, takes no other than the default.")
        return {}
    if body.get("temperature", 0) > 1:
        losses.hint("sampling.temperature", "temperature", "Claude's temperatures end at 1.")
        body["temperature"] = 1
    if traits.sampling == "one" and "temperature" in body and body.pop("top_p", 1) != 1:
        losses.hint("sampling.top_p", "top_p", "this model takes either a temperature or top_p.")
    return body


def _stop(request: Request, losses: Losses, *, native: bool) -> Json:
    stop = [text for text in request.stop if native or text.strip()]
    if len(stop) < len(request.stop):
        losses.hint("stop", "stop", "Claude does not stop at white space alone.")
    return {"stop_sequences": stop} if stop else {}


def _about(request: Request, losses: Losses) -> Json:
    """Who asks, and how urgently."""
    body: Json = {}
    user = request.user or request.safety_identifier
    if user:
        body["metadata"] = {"user_id": user if request.dialect == DIALECT else _opaque(user)}
    if request.safety_identifier and request.user:
        losses.hint("safety_identifier", "safety_identifier", "Claude is told one name for the user.")
    if request.service_tier in _TIERS:
        body["service_tier"] = _TIERS[request.service_tier]
    elif request.service_tier:
        losses.hint("service_tier", "service_tier", "Claude has no such tier.")
    return body


def _opaque(user: str) -> str:
    """A word for the user that names nobody. A digest tells users apart as well, so that nothing is lost."""
    if len(user) <= MAX_USER and not _PERSON.search(user):
        return user
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()


def _note_unsupported(request: Request, losses: Losses) -> None:
    asked = request.sampling
    if request.n is not None and request.n > 1:
        losses.content("n", "n", "Claude gives one answer.")
    for path, value in (
        ("sampling.seed", asked.seed),
        ("sampling.presence_penalty", asked.presence_penalty or None),
        ("sampling.frequency_penalty", asked.frequency_penalty or None),
        ("sampling.logit_bias", asked.logit_bias or None),
        ("sampling.logprobs", asked.logprobs or None),
        ("sampling.top_logprobs", asked.top_logprobs),
        ("verbosity", request.verbosity or None),
        ("metadata", request.metadata or None),
        ("store", request.store or None),
        ("cache_key", request.cache_key or None),
        ("cache_retention", request.cache_retention or None),
    ):
        if value is not None:
            losses.hint(path, path.rpartition(".")[2], "Claude cannot be told it.")


def _put_back(request: Request, body: Json, losses: Losses) -> None:
    """What only this dialect knows, where it was: into an object of ours, or as a field."""
    for extra in request.extra:
        if extra.dialect != DIALECT:
            losses.unknown_field(extra)
        elif isinstance(extra.value, dict) and isinstance(body.get(extra.name), dict):
            body[extra.name] = {**body[extra.name], **extra.value}
        else:
            body[extra.name] = extra.value
