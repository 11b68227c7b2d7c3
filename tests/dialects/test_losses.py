"""What is done about losses: refused or told, never more than a header can hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.conversation import Extra
from gateway.dialects.losses import NOTICE_LIMIT, PATH_LIMIT, Losses, notice, refuse_losses
from gateway.errors import RequestError


def losses_of(*, content: bool, hint: bool) -> Losses:
    losses = Losses()
    if hint:
        losses.hint("sampling.top_k", "top_k", "it has no top_k.")
    if content:
        losses.content("messages.0.parts.1", "audio", "it takes no audio.")
    return losses


@pytest.mark.parametrize(
    ("on_loss", "content", "hint", "param"),
    [
        ("reject", False, True, "sampling.top_k"),
        ("reject", True, True, "sampling.top_k"),
        ("reject", False, False, None),
        ("warn", True, True, "messages.0.parts.1"),
        ("warn", False, True, None),
        ("drop", True, True, None),
    ],
)
def test_which_losses_are_refused(on_loss: str, content: bool, hint: bool, param: str | None) -> None:
    losses = losses_of(content=content, hint=hint)
    if param is None:
        refuse_losses(losses, on_loss)
        return
    with pytest.raises(RequestError) as caught:
        refuse_losses(losses, on_loss)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert param in str(caught.value)


@pytest.mark.parametrize(("other", "elsewhere"), [("", ""), ("gemini", ", use a model of a provider of type gemini")])
@pytest.mark.parametrize(("on_loss", "setting"), [("reject", "warn"), ("warn", "drop")])
def test_a_refusal_says_what_to_do(on_loss: str, setting: str, other: str, elsewhere: str) -> None:
    losses = losses_of(content=on_loss == "warn", hint=on_loss == "reject")
    with pytest.raises(RequestError) as caught:
        refuse_losses(losses, on_loss, other)
    path, _, why, _ = losses.entries[0]
    assert str(caught.value) == (
        f"'{path}' cannot be passed on to the provider of this model: {why} "
        f'Leave it out{elsewhere}, or have it dropped by translation.on_loss = "{setting}".'
    )


def test_what_a_reader_keeps_for_itself_is_no_loss() -> None:
    losses = Losses(name=str.upper)
    losses.unknown_field(Extra("anthropic", "container", "c", content=True))
    losses.unknown_field(Extra("openai_responses", "tools.namespaces", {}, internal=True))
    assert [(loss.path, loss.content) for loss in losses.entries] == [("container", True)]


def test_a_notice_names_each_path_once() -> None:
    losses = losses_of(content=True, hint=True)
    losses.hint("sampling.top_k", "top_k", "again")
    assert notice(losses) == "sampling.top_k, messages.0.parts.1"
    assert notice(Losses()) == ""


def test_a_notice_ends_somewhere() -> None:
    losses = Losses()
    for place in range(NOTICE_LIMIT + 3):
        losses.hint(f"messages.{place}", "cache", "no")
    assert notice(losses).endswith(f"messages.{NOTICE_LIMIT - 1}, and 3 more")


@given(st.lists(st.text(max_size=3 * PATH_LIMIT), max_size=30))
def test_a_notice_is_a_header_whatever_the_client_calls_its_things(paths: list[str]) -> None:
    losses = Losses()
    for path in paths:
        losses.hint(path, "x", "y")
    value = notice(losses)
    assert value.isprintable()
    assert value.isascii()
    assert len(value) < (NOTICE_LIMIT + 1) * (PATH_LIMIT + 2)
    assert value.count(",") <= NOTICE_LIMIT
