from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.keeper.keyedit import add_keys, remove_keys
from gateway.keeper.keylines import parse_key_lines

FIRST = "sk-proj-aaaaaaaaaaaaaaaaaaaa1111"
SECOND = "sk-proj-bbbbbbbbbbbbbbbbbbbb2222"
TWIN = "sk-proj-cccccccccccccccccccc1111"  # has the fingerprint of FIRST


@pytest.mark.parametrize(
    ("text", "keys", "after"),
    [
        ("", ["k1"], "k1\n"),
        ("# mine\nk1\n", ["k2", "k3"], "# mine\nk1\nk2\nk3\n"),
        ("k1", ["k2"], "k1\nk2\n"),
        ("k1\r\n", ["k2"], "k1\r\nk2\r\n"),
        ("k1 account=a # note\n\n", ["k2"], "k1 account=a # note\n\nk2\n"),
        ("k1\n", ["k1"], "k1\n"),
        ("\ufeffk1\n", ["k1"], "\ufeffk1\n"),
        ("k1", ["k1"], "k1"),
        ("", ["k1", "k1"], "k1\n"),
        ("", [" k1 \n"], "k1\n"),
        ("", ['k1 account=a note="two words"'], 'k1 account=a note="two words"\n'),
        ("", ["# a comment", ""], ""),
        ("", ['{"value": "k1", "note": "two words"}'], 'k1 note="two words"\n'),
        ('{"value":"k1"}\n', ["k1", "k2 account=a"], '{"value":"k1"}\n{"value":"k2","account":"a"}\n'),
    ],
)
def test_keys_are_added_at_the_end_once(text: str, keys: list[str], after: str) -> None:
    assert add_keys(text, keys) == after


def test_an_empty_ndjson_file_gets_objects() -> None:
    assert add_keys("", ["k1"], ndjson=True) == '{"value":"k1"}\n'


@pytest.mark.parametrize(
    ("given_key", "why"),
    [
        ("sk-VERY SECRET", "key 2 of 2 given has something after the key"),
        ("sk-VERYSECRET\u00e4", "key 2 of 2 given has a character that is not ASCII"),
        ("sk-VERYSECRET acount=a", "key 2 of 2 given has an unknown label"),
    ],
)
def test_what_is_no_key_is_not_added_and_not_quoted(given_key: str, why: str) -> None:
    with pytest.raises(GatewayError, match=why) as caught:
        add_keys("", ["k1", given_key])
    assert "VERY" not in str(caught.value)


UNREADABLE = [
    ("", '{"value": "k1", "note": "say \\"hi\\" now"}'),
    ("", '{"value": "k1", "note": "\\""}'),
    ("", '{"value": "#VERYSECRET"}'),
    ("-----BEGIN RSA PRIVATE KEY-----\n", "VERYSECRET"),
]


@pytest.mark.parametrize(("text", "line"), UNREADABLE)
def test_what_could_not_be_read_again_is_not_added(text: str, line: str) -> None:
    with pytest.raises(GatewayError, match="key 1 of 2 given could not be read again") as caught:
        add_keys(text, [line, "k2 note=fine"])
    assert "VERY" not in str(caught.value)


def test_what_only_looks_present_is_added() -> None:
    text = '{"value":"k1"}\n'  # of no use in a .txt file
    assert add_keys(text, ["k1"], ndjson=False) == f"{text}k1\n"


@pytest.mark.parametrize(
    ("text", "wanted", "after", "count"),
    [
        (f"# mine\n{FIRST}\n\n{SECOND}  account=a\n# end", [FIRST], f"# mine\n\n{SECOND}  account=a\n# end", 1),
        (f"{FIRST}\n{SECOND} # bought\n", [SECOND], f"{FIRST}\n", 1),
        (f"{FIRST}\n{SECOND}\n", ["sk-…1111"], f"{SECOND}\n", 1),
        (f"{FIRST}\n{SECOND}\n", ["sk-...1111", SECOND], "", 2),
        (f"{FIRST}\r\n{SECOND}\r\n", [FIRST], f"{SECOND}\r\n", 1),
        (f"{FIRST}\n{SECOND}", [SECOND], f"{FIRST}\n", 1),
        (f"{FIRST}\n{FIRST} account=a\n", [FIRST], "", 1),
        (f"{FIRST}\n{TWIN}\n", [FIRST], f"{TWIN}\n", 1),
        (f'{{"value": "{FIRST}"}}\n{{"value": "{SECOND}"}}\n', [FIRST], f'{{"value": "{SECOND}"}}\n', 1),
        (f"{FIRST}\n", ["unknown", "", "#"], f"{FIRST}\n", 0),
        (f"#{FIRST}\nnot a key\n", [FIRST], f"#{FIRST}\nnot a key\n", 0),
        ("", [FIRST], "", 0),
    ],
)
def test_keys_are_removed_and_the_rest_stays(text: str, wanted: list[str], after: str, count: int) -> None:
    assert remove_keys(text, wanted) == (after, count)


def test_a_fingerprint_that_two_keys_have_removes_neither() -> None:
    with pytest.raises(GatewayError, match="2 keys look like sk-…1111"):
        remove_keys(f"{FIRST}\n{TWIN}\n", ["sk-…1111"])


KEYS = st.lists(st.text("abcXYZ019-_", min_size=1, max_size=8), unique=True, max_size=6)
TEXTS = st.lists(st.sampled_from(["# c", "", "a", "b account=x", "not a key", '{"value":"d"}', "\r"])).map("\n".join)


@given(TEXTS, KEYS)
def test_what_was_added_is_read_and_can_be_removed_again(text: str, keys: list[str]) -> None:
    after = add_keys(text, keys, ndjson=False)
    read = {entry.secret.reveal() for entry in parse_key_lines(after.encode(), ndjson=False).entries}
    assert set(keys) <= read
    new = [key for key in keys if add_keys(text, [key], ndjson=False) != text]
    restored, count = remove_keys(after, new)
    assert count == len(new)
    assert restored in (text, text + "\n", text + "\r\n")
