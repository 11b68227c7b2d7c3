"""What a file holds on the left, the keys that are taken from it on the right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.keeper.keyimport import STEP, Imported, Wanted, parse_import

OPENAI = Wanted(prefixes=("MAIN", "OPENAI"))


def imported(text: str, wanted: Wanted = OPENAI) -> Imported:
    return parse_import(text.encode(), wanted)


def keys(found: Imported) -> list[str]:
    return [entry.secret.reveal() for entry in found.entries]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("sk-1\n# comment\n\n  sk-2 # mine\r\nsk-3", ["sk-1", "sk-2", "sk-3"]),
        ("\ufeffsk-1\n", ["sk-1"]),
        ('{"value": "sk-1"}\n{"value": "sk-2", "from": "elsewhere"}\n', ["sk-1", "sk-2"]),
        ('["sk-1", {"value": "sk-2"}]', ["sk-1", "sk-2"]),
        ('\n[\n  "sk-1",\n  "sk-2"\n]\n', ["sk-1", "sk-2"]),
        ('{"keys": ["sk-1", "sk-2"]}', []),  # on one line it is an object like any other
        ('{\n"keys": ["sk-1", "sk-2"]\n}', ["sk-1", "sk-2"]),
        ('{\n"value": "sk-1",\n"account": "a"\n}', ["sk-1"]),
        ("OPENAI_API_KEY_1=sk-1\nOPENAI_API_KEY_2=sk-2\nOPENAI_API_KEY_10=sk-10\n", ["sk-1", "sk-2", "sk-10"]),
        ("export OPENAI_API_KEY='sk-1'\nOPENAI_API_KEY2 = \"sk-2\" # second\n", ["sk-1", "sk-2"]),
        ("OPENAI_API_KEYS=sk-1,sk-2, sk-3\n", ["sk-1", "sk-2", "sk-3"]),
        ('OPENAI_API_KEYS="sk-1,sk-2, sk-3"\n', ["sk-1", "sk-2", "sk-3"]),
        ("OPENAI_API_KEY_1=\nOPENAI_API_KEY_2=''\nOPENAI_API_KEY_3=sk-3\n", ["sk-3"]),
        ("sk-1\nOPENAI_API_KEY=sk-2\n{\"value\": \"sk-3\"}\n", ["sk-1", "sk-2", "sk-3"]),
        ("q83vEjRWeJA=\nq83vEjRWeJ==\n", ["q83vEjRWeJA=", "q83vEjRWeJ=="]),
        ("DATABASE_URL=postgres://a\nDEBUG=1\nOPENAI_API_KEY=sk-1\n", ["sk-1"]),
        ("OPENAI_API_KEY=sk-1\nANTHROPIC_API_KEY=sk-2\n", ["sk-1"]),
        ("openai_api_key=sk-1\nDJANGO_SECRET_KEY=x1\n", ["sk-1"]),
        ("MAIN_KEY_1=sk-1\nMAIN_KEY_2=sk-2\nGITHUB_TOKEN=g\n", ["sk-1", "sk-2"]),
        ("LLM_API_KEY=sk-1\nDJANGO_SECRET_KEY=x1\n", ["sk-1"]),
        ("OPENAI_API_KEY=sk-1\nOPENAI_WEBHOOK_SECRET=x1\n", ["sk-1"]),
    ],
)  # fmt: skip
def test_keys_are_found_in_whatever_they_were_kept_in(text: str, found: list[str]) -> None:
    assert keys(imported(text)) == found


def test_labels_come_along_and_other_fields_do_not() -> None:
    found = imported(
        'sk-1 account=a note="two words"\n'
        '{"value": "sk-2", "account": "b", "weight": 2, "status": "valid"}\n'
        '{"value": "sk-3", "key": "sk-…", "labels": {"account": "c"}, "until": null}\n'
    )
    assert [dict(entry.labels) for entry in found.entries] == [
        {"account": "a", "note": "two words"},
        {"account": "b", "weight": "2"},
        {"account": "c"},
    ]
    assert found.problems == ()


def test_a_key_that_comes_again_counts_once() -> None:
    found = imported('sk-1\nOPENAI_API_KEY=sk-1\n{"value": "sk-1"}\nsk-2\n')
    assert (keys(found), found.duplicates) == (["sk-1", "sk-2"], 2)


def test_what_is_no_key_is_told_by_line_and_never_shown() -> None:
    found = imported("https://VERYSECRET\nsk-1\nhttps://b\nsk VERYSECRET\nOPENAI_API_KEY=<VERYSECRET>\n{VERYSECRET\n")
    assert keys(found) == ["sk-1"]
    assert found.problems == (
        "lines 1, 3: each is a URL",
        "line 4: has something after the key that is neither label=value nor a # comment",
        "line 6: is not JSON",
        "line 5: is a placeholder for a key",
    )


def test_items_of_a_list_are_told_by_number() -> None:
    found = imported('["sk-1", 7, {"value": 1}, "a b", null]')
    assert keys(found) == ["sk-1"]
    assert found.problems == (
        'items 2, 3, 5: each is neither a text nor an object with a text as "value"',
        "item 4: has a blank or a control character in its key",
    )


def test_variables_that_were_left_out_are_named() -> None:
    found = imported("DEBUG=1\nOPENAI_API_KEY=sk-1\nANTHROPIC_API_KEY=sk-2\nDEBUG=2\n")
    assert found.left_out == ("DEBUG", "ANTHROPIC_API_KEY")


def test_the_caller_can_say_which_variables() -> None:
    text = "OPENAI_API_KEY=sk-1\nWORK_1=sk-2\nWORK_2=sk-3\n"
    assert keys(imported(text, Wanted(names="WORK_*"))) == ["sk-2", "sk-3"]
    assert keys(imported(text, Wanted(names="NOTHING"))) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GROQ_API_KEY=a1\nMISTRAL_API_KEY=b1\n", "variables of several kinds: GROQ_API_KEY, MISTRAL_API_KEY"),
        (b"\xff\xfes\0k\0", "no UTF-8 text"),
        (b"sk-1\0\n", "no UTF-8 text"),
        (b'["sk-1"', "begins like a JSON list, but is no JSON"),
        (b'{\n"a": 1,\n"b": 2\n}', "no list of keys"),
        (b'{\n"a": 1\n}', "no list of keys"),
    ],
)
def test_what_is_anybodys_guess_is_an_error(data: bytes, message: str) -> None:
    with pytest.raises(GatewayError, match=message):
        parse_import(data, OPENAI)


def test_progress_is_told_and_comes_to_its_end() -> None:
    told: list[tuple[int, int]] = []
    lines = 2 * STEP + 1
    parse_import("\n".join(f"sk-{n}" for n in range(lines)).encode(), OPENAI, lambda *now: told.append(now))
    assert told == [(STEP, lines), (2 * STEP, lines), (lines, lines)]


PIECES = [
    "sk-1",
    " ",
    "\n",
    "#",
    "=",
    '"',
    "'",
    ",",
    "KEY",
    "export ",
    "{",
    "}",
    "[",
    "]",
    '{"value":"k"}',
    "ä",
    "\x00",
]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_whatever_a_file_holds_every_entry_is_a_sendable_key(text: str) -> None:
    try:
        found = imported(text)
    except GatewayError:
        return
    for entry in found.entries:
        key = entry.secret.reveal()
        assert key and all("!" <= character <= "~" for character in key)
