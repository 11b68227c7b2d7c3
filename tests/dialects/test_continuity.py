"""What a provider signed comes back as it was, through clients that know nothing of it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.continuity import (
    SEPARATOR,
    bind,
    read_signature,
    seal,
    show_signature,
    split_id,
    unbind,
    unseal,
    unsigned,
    with_seal,
)
from gateway.dialects.conversation import Signature
from gateway.dialects.names import SEALED

DIALECTS = ["openai_chat", "openai_responses", "anthropic", "gemini"]
ANY_TEXT = st.text(st.characters(), max_size=60)
SIGNATURES = st.builds(Signature, ANY_TEXT, st.sampled_from(DIALECTS), st.text("abz09._-", min_size=1, max_size=12))
CALL_IDS = st.text(max_size=20) | st.sampled_from(["", "toolu_1", f"a{SEPARATOR}b", SEPARATOR, f"x{SEPARATOR}{SEALED}"])


@given(SIGNATURES)
def test_a_seal_is_read_in_either_alphabet_and_without_padding(signature: Signature) -> None:
    sealed = seal(signature, "who")
    assert sealed.startswith(SEALED)
    standard = sealed.replace("-", "+").replace("_", "/")
    for text in (sealed, sealed.rstrip("="), standard, standard.rstrip("=")):
        assert unseal(text) == signature
        assert read_signature(text, "anthropic") == signature


@given(SIGNATURES)
def test_a_client_that_decodes_a_seal_writes_the_same_one(signature: Signature) -> None:
    raw = base64.urlsafe_b64decode(seal(signature, ""))
    assert unseal(base64.b64encode(raw).decode()) == signature


def test_a_seal_names_who_answered_where_the_signature_does_not() -> None:
    assert unseal(seal(Signature("s", "gemini"), "main")) == Signature("s", "gemini", "main")


@given(CALL_IDS, SIGNATURES)
def test_an_id_and_its_signature_come_apart_again(call_id: str, signature: Signature) -> None:
    assert split_id(with_seal(call_id, signature, "who")) == (call_id, signature)


@given(CALL_IDS, SIGNATURES, SIGNATURES)
def test_an_id_that_a_gateway_behind_this_one_sealed_stays_whole(id_: str, inner: Signature, outer: Signature) -> None:
    sealed = with_seal(id_, inner, "who")
    assert split_id(with_seal(sealed, outer, "who")) == (sealed, outer)


@given(CALL_IDS | st.just("a.b"), SIGNATURES)
def test_a_signature_knows_the_id_of_its_call(call_id: str, signature: Signature) -> None:
    assert unbind(bind(signature, call_id, "who")) == (call_id, signature)
    assert unbind(seal(signature, "who")) is None, "that of thoughts is bound to no call"


def test_an_id_without_a_signature_is_as_it_was() -> None:
    assert with_seal("call_1", None, "who") == "call_1"
    assert split_id("call_1") == ("call_1", None)


def test_a_sealed_id_has_only_letters_that_ids_may_have() -> None:
    sealed = with_seal("toolu_1", Signature("\x00ÿ/+=", "gemini", "main"), "main")
    assert sealed.replace("_", "").replace("-", "").isalnum()
    assert sealed.isascii()


@given(st.text() | st.text("-_=+/AZaz09").map(lambda text: SEALED + text))
def test_unsealing_never_fails(text: str) -> None:
    unseal(text)
    assert read_signature(text, "anthropic").data is not None
    bare, signature = split_id(text)
    assert signature is not None or bare == text
    assert unbind(text) is None


@pytest.mark.parametrize(
    "text",
    ["", "EqQBCkYIARgC", SEALED, SEALED + "!", base64.b64encode(b"llmg1:gemini").decode(), SEALED + "ÿ", f"x{SEALED}"],
)
def test_what_only_looks_like_a_seal_is_native(text: str) -> None:
    assert unseal(text) is None
    assert read_signature(text, "anthropic") == Signature(text, "anthropic")
    assert split_id(f"a{SEPARATOR}{text}") == (f"a{SEPARATOR}{text}", None)


@pytest.mark.parametrize(("dialect", "shown"), [("gemini", "s"), ("anthropic", None)])
def test_a_signature_is_shown_as_it_is_only_in_its_own_dialect(dialect: str, shown: str | None) -> None:
    signature = Signature("s", "gemini", "main")
    assert show_signature(signature, dialect, "main") == (shown or seal(signature, "main"))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_thoughts_that_nobody_signed_are_told_from_native_ones(dialect: str) -> None:
    came_back = read_signature(show_signature(unsigned("main"), dialect, "main"), dialect)
    assert came_back == unsigned("main")
    assert not came_back.is_for(dialect, "main")


@pytest.mark.parametrize(
    ("made_by", "dialect", "provider", "fits"),
    [
        ("main", "gemini", "main", True),
        ("", "gemini", "main", True),
        ("other", "gemini", "main", False),
        ("main", "anthropic", "main", False),
    ],
)
def test_a_signature_is_for_its_provider_alone(made_by: str, dialect: str, provider: str, fits: bool) -> None:
    assert Signature("s", "gemini", made_by).is_for(dialect, provider) is fits
