from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.keeper.keylines import NO_LABELS, SLICE, KeyEntry, ParsedKeys, parse_key_lines
from gateway.secret import Secret


def parsed(text: str | bytes, *, ndjson: bool = False) -> ParsedKeys:
    return parse_key_lines(text.encode() if isinstance(text, str) else text, ndjson)


def keys(result: ParsedKeys) -> list[str]:
    return [entry.secret.reveal() for entry in result.entries]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("\n\n  \t\n", []),
        ("# nothing but a comment", []),
        ("sk-1\nsk-2\n", ["sk-1", "sk-2"]),
        ("sk-1\nsk-2", ["sk-1", "sk-2"]),
        ("sk-1\r\nsk-2\r\n", ["sk-1", "sk-2"]),
        ("\ufeffsk-1\n", ["sk-1"]),
        ("\ufeff# made by an editor\nsk-1\n", ["sk-1"]),
        ("  sk-1\t\n", ["sk-1"]),
        ("#sk-0\nsk-1 # the good one\nsk-2\t#\n", ["sk-1", "sk-2"]),
        ("sk#1\n", ["sk#1"]),  # only after a blank does # begin a comment
        ("a=b==\n", ["a=b=="]),
        ("b\na\nb\n", ["b", "a"]),
        ("id:secret\nab//cd..ef==\n", ["id:secret", "ab//cd..ef=="]),
        ('sk-1 # a, b; "c" at https://example.org\n', ["sk-1"]),  # only the key itself is looked at
        ("x" * 4096, ["x" * 4096]),
    ],
)
def test_one_key_a_line(text: str, found: list[str]) -> None:
    result = parsed(text)
    assert keys(result) == found
    assert (result.problems, result.broken) == ((), "")


@pytest.mark.parametrize(
    ("line", "labels"),
    [
        ("sk-1", {}),
        ("sk-1  account=team-a", {"account": "team-a"}),
        ("sk-1 account=a weight=2.5 note=x # and a comment", {"account": "a", "weight": "2.5", "note": "x"}),
        ('sk-1\tnote="bought in May, # 3"\taccount=a', {"note": "bought in May, # 3", "account": "a"}),
        ("sk-1 note=größer", {"note": "größer"}),
        ("sk-1 note=a=b#c", {"note": "a=b#c"}),
        ("sk-1 account=a account=b", {"account": "b"}),
    ],
)
def test_labels_may_follow_the_key(line: str, labels: dict[str, str]) -> None:
    result = parsed(line)
    assert result.entries == (KeyEntry(Secret("sk-1"), labels),)
    assert result.problems == ()


BAD_LINES = [
    ("sk-1 abc", "line 2: has something after the key that is neither label=value nor a # comment"),
    ('sk-1 note="open', "line 2: has something after the key that is neither label=value nor a # comment"),
    ('sk-1 note="a"b', "line 2: has something after the key that is neither label=value nor a # comment"),
    ("sk-1 note=two words", "line 2: has something after the key that is neither label=value nor a # comment"),
    ("sk-1 =x", "line 2: has something after the key that is neither label=value nor a # comment"),
    ("sk-ä", "line 2: has a character that is not ASCII in its key"),
    ("sk-1\ufeff", "line 2: has a character that is not ASCII in its key"),
    ("sk-…0001", "line 2: is a key that was shortened or masked to be shown"),
    ("sk-1\u200b", "line 2: has a character that is not ASCII in its key"),
    ("sk-\x01", "line 2: has a blank or a control character in its key"),
    ("\x0b", "line 2: has a blank or a control character in its key"),
    ("sk-\x7f", "line 2: has a blank or a control character in its key"),
    ("sk-1\rsk-2", "line 2: has something after the key that is neither label=value nor a # comment"),
    ("x" * 4097, "line 2: has a key longer than 4096 characters"),
    ('{"value":"sk-1"}', "line 2: is JSON, which belongs into a file named .ndjson, an object a line"),
]


@pytest.mark.parametrize(("line", "problem"), BAD_LINES)
def test_a_bad_line_is_reported_and_the_others_load(line: str, problem: str) -> None:
    result = parsed(f"good-1\n{line}\ngood-2\n")
    assert keys(result) == ["good-1", "good-2"]
    assert result.problems == (problem,)


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        (
            "acount=a",
            "line 1: has an unknown label 'acount' (did you mean \"account\"?); there are account, weight, note",
        ),
        (
            "weigth=3",
            "line 1: has an unknown label 'weigth' (did you mean \"weight\"?); there are account, weight, note",
        ),
        ("s3cret=a", "line 1: has an unknown label; there are account, weight, note"),
        ("accountsecretsecret=a", "line 1: has an unknown label; there are account, weight, note"),
        ("account=", "line 1: has an empty, overlong or unprintable account, which is ignored"),
        ("note=" + "x" * 201, "line 1: has an empty, overlong or unprintable note, which is ignored"),
        ("note=\x1b[2J", "line 1: has an empty, overlong or unprintable note, which is ignored"),
        ("weight=heavy", "line 1: has a weight that is no number from 0.001 to 1000000, which is ignored"),
        ("weight=0", "line 1: has a weight that is no number from 0.001 to 1000000, which is ignored"),
        ("weight=-1", "line 1: has a weight that is no number from 0.001 to 1000000, which is ignored"),
        ("weight=inf", "line 1: has a weight that is no number from 0.001 to 1000000, which is ignored"),
        ("weight=1e-9", "line 1: has a weight that is no number from 0.001 to 1000000, which is ignored"),
        ("weight=1e300", "line 1: has a weight that is no number from 0.001 to 1000000, which is ignored"),
        ("weight=nan", "line 1: has a weight that is no number from 0.001 to 1000000, which is ignored"),
    ],
)
def test_a_bad_label_never_costs_the_key(label: str, problem: str) -> None:
    result = parsed(f"sk-1 {label}")
    assert result.entries == (KeyEntry(Secret("sk-1")),)
    assert result.problems == (problem,)


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ('{"value": "sk-1"}', KeyEntry(Secret("sk-1"))),
        ('{"value": "sk-1", "account": "a", "weight": 2, "note": "two words"}',
         KeyEntry(Secret("sk-1"), {"account": "a", "weight": "2", "note": "two words"})),
        ('  {"value": "sk-1"}\r', KeyEntry(Secret("sk-1"))),
    ],
)  # fmt: skip
def test_ndjson_has_an_object_a_line(line: str, entry: KeyEntry) -> None:
    result = parsed(f"# comment\n\n{line}\n", ndjson=True)
    assert result.entries == (entry,)
    assert result.problems == ()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("sk-1", "line 1: is not JSON"),
        ('{"value": "sk-1"', "line 1: is not JSON"),
        ("NaN", "line 1: is not JSON"),
        ("[" * 100000, "line 1: is not JSON"),
        ('["sk-1"]', 'line 1: is no JSON object with a text as "value"'),
        ('{"key": "sk-1"}', 'line 1: is no JSON object with a text as "value"'),
        ('{"value": 1}', 'line 1: is no JSON object with a text as "value"'),
        ('{"value": ""}', "line 1: has an empty key"),
        ('{"value": "sk 1"}', "line 1: has a blank or a control character in its key"),
        ('{"value": "sk-1\\n"}', "line 1: has a blank or a control character in its key"),
        ('{"value": "sk-\\u00e4"}', "line 1: has a character that is not ASCII in its key"),
    ],
)
def test_a_bad_object_is_reported_and_the_others_load(line: str, problem: str) -> None:
    result = parsed(line + '\n{"value": "good"}', ndjson=True)
    assert keys(result) == ["good"]
    assert result.problems == (problem,)


def test_a_label_of_the_wrong_type_never_costs_the_key() -> None:
    result = parsed('{"value": "sk-1", "note": ["x"], "weight": true, "account": null}', ndjson=True)
    assert result.entries == (KeyEntry(Secret("sk-1")),)
    assert len(result.problems) == 3


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (codecs.BOM_UTF16_LE + "sk-1\n".encode("utf-16-le"), "UTF-16"),
        (codecs.BOM_UTF16_BE + "sk-1\n".encode("utf-16-be"), "UTF-16"),
        ("sk-1\n".encode("utf-16-le"), "NUL"),
        (b"sk-1\n\x7fELF\x00\x00", "NUL"),
        (b"sk-1\nsk-\xff\n", "line 2 is not UTF-8"),
    ],
)
def test_a_file_that_is_no_utf8_text_is_broken_as_a_whole(data: bytes, reason: str) -> None:
    result = parsed(data)
    assert reason in result.broken
    assert (result.entries, result.problems) == ((), ())


def test_duplicates_count_once_and_the_first_labels_stay() -> None:
    result = parsed("sk-1 account=a\nsk-2\nsk-1 account=b\nsk-1\n")
    assert result.duplicates == 2
    assert result.entries[0].labels == {"account": "a"}


def test_a_kind_of_problem_is_told_once_with_its_first_lines() -> None:
    result = parsed("https://a.example\n" * 100 + "sk-1\na,b\nsk-ä\nc,d\n")
    assert result.problems == (
        "lines 1, 2, 3, 4, 5 and 95 more: each is a URL",
        "lines 102, 104: each has a comma or a semicolon; write one key a line",
        "line 103: has a character that is not ASCII in its key",
    )


JUNK = [
    ("https://api.openai.com/v1", "is a URL"),
    ("socks5h://user:password@10.0.0.1:1080", "is a URL"),
    ('"sk-1"', "has quotation marks; write the key without them"),
    ("'sk-1'", "has quotation marks; write the key without them"),
    ('"sk-1",', "has quotation marks; write the key without them"),
    ('"keys": [', "has quotation marks; write the key without them"),
    ("[", "is JSON, which belongs into a file named .ndjson, an object a line"),
    ("},", "is JSON, which belongs into a file named .ndjson, an object a line"),
    ('["sk-1"]', "is JSON, which belongs into a file named .ndjson, an object a line"),
    ("OPENAI_API_KEY=sk-1", "is NAME=value"),
    ("openai_key_1='sk-1'", "is NAME=value"),
    ("export OPENAI_API_KEY=sk-1", "is NAME=value"),
    ("account=a weight=2", "is NAME=value"),
    ("name,key", "has a comma or a semicolon; write one key a line"),
    ("sk-1;sk-2", "has a comma or a semicolon; write one key a line"),
    ("sk-1,account=a", "has a comma or a semicolon; write one key a line"),
    ("${OPENAI_API_KEY}", "is a placeholder for a key"),
    ("<your-key-here>", "is a placeholder for a key"),
    ("sk-...a1b2", "is a key that was shortened or masked to be shown"),
    ("sk-****", "is a key that was shortened or masked to be shown"),
    ("OPENAI_API_KEY = sk-1", "has something after the key"),
    ("Authorization: Bearer sk-1", "has something after the key"),
    ("put your keys here", "has something after the key"),
    ("name\tsk-1", "has something after the key"),
]


@pytest.mark.parametrize(("line", "problem"), JUNK)
def test_what_is_certainly_no_key_is_not_taken_for_one(line: str, problem: str) -> None:
    result = parsed(f"good-1\n{line}\ngood-2\n")
    assert keys(result) == ["good-1", "good-2"]
    (told,) = result.problems
    assert told.startswith(f"line 2: {problem}")
    assert "sk-1" not in told


@pytest.mark.parametrize("value", ["https://a.example", "'sk-1'", "a,b", "sk-...a1b2"])
def test_what_is_certainly_no_key_is_none_in_an_object_either(value: str) -> None:
    result = parsed(f'{{"value": "{value}"}}', ndjson=True)
    assert (result.entries, len(result.problems)) == ((), 1)


PEM = """sk-1
-----BEGIN RSA PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED

MIIEowIBAAKCAQEAuqbbMqNkjpRoJmfXRmGP+6dXcv
Yw==
-----END RSA PRIVATE KEY-----
sk-2
"""


def test_nothing_of_a_pem_block_is_a_key() -> None:
    result = parsed(PEM)
    assert keys(result) == ["sk-1", "sk-2"]
    assert result.problems == ("lines 2, 7: each is part of a PEM block, such as a certificate or an SSH key",)


def test_a_pem_block_without_an_end_ends_where_it_looks_like_none() -> None:
    assert keys(parsed("-----BEGIN PRIVATE KEY-----\nMIIEow\nsk-1\nMIIEow\n")) == ["sk-1", "MIIEow"]


def test_equal_labels_are_kept_in_memory_once() -> None:
    first, second, bare = parsed("sk-1 account=a\nsk-2 account=a\nsk-3\n").entries
    assert first.labels is second.labels
    assert bare.labels is NO_LABELS


def test_a_long_file_is_read_to_its_end() -> None:
    wanted = [f"sk-{n}" for n in range(3 * SLICE + 1)]
    assert keys(parsed("\n".join(wanted))) == wanted


MIXED = [
    "sk-plain-1234567890", "sk-plain-1234567890", "sk-other-1234567890=", "k" * 4094 + "==", "k" * 4095 + "==",
    "short", "", "  sk-blanks-0123456789  ", "sk-labelled-01234567 account=a", "# a comment", "https://a.example/123",
    "a//b-0123456", "sk-012...6789", "sk-half==way-0123456", "-----BEGIN PRIVATE KEY-----",
    "MIIEowIBAAKCAQEAuqbbMqNkjpRoJmfXRmGP", "sk-ä",
]  # fmt: skip


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("line", MIXED)
def test_a_line_among_plain_ones_is_what_it_is_among_others(line: str, ending: str) -> None:
    _compare(["sk-first-0123456789", line, "sk-third-0123456789", ""], ending)


@given(st.lists(st.sampled_from(MIXED), max_size=9), st.sampled_from(["\n", "\r\n", "\r"]))
def test_lines_looked_at_together_are_what_they_are_one_by_one(lines: list[str], ending: str) -> None:
    _compare(lines, ending)


def _compare(lines: list[str], ending: str) -> None:
    together = parsed(ending.join(lines))
    one_by_one = parsed("# not all of it is keys\n" + ending.join(lines))
    assert (together.entries, together.duplicates) == (one_by_one.entries, one_by_one.duplicates)
    assert (together.short, len(together.problems)) == (one_by_one.short, len(one_by_one.problems))


def test_a_long_file_numbers_its_lines_and_counts_what_comes_twice_from_end_to_end() -> None:
    block = [f"sk-plain-{n:011}" for n in range(SLICE)]
    result = parsed("\n".join([*block, *block, "sk-ä", *block[1:], "a b"]))
    assert keys(result) == block
    assert (result.duplicates, len(result.problems)) == (2 * SLICE - 1, 2)
    assert [problem.split(":")[0] for problem in result.problems] == [f"line {2 * SLICE + 1}", f"line {3 * SLICE + 1}"]


def test_a_pem_block_goes_on_over_any_number_of_lines() -> None:
    body = "MIIEowIBAAKCAQEAuqbbMqNkjpRoJmfXRmGP\n" * 2 * SLICE
    assert keys(parsed(f"-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\nsk-1\n")) == ["sk-1"]


@pytest.mark.parametrize("line", [line for line, _ in BAD_LINES + JUNK])
def test_no_problem_quotes_the_line(line: str) -> None:
    result = parsed(line.replace("sk-1", "sk-VERYSECRET"))
    assert "VERYSECRET" not in repr(result)


@given(st.binary(max_size=400), st.booleans())
def test_whatever_a_file_holds_nothing_raises(data: bytes, ndjson: bool) -> None:
    result = parse_key_lines(data, ndjson)
    assert not (result.broken and result.entries)
    for entry in result.entries:
        entry.secret.reveal().encode("ascii")


PIECES = ["sk-1", "sk-2", " ", "\t", "\n", "\r", "#", "=", '"', "account=", "note=x", "{", '{"value":"k"}', "ä", "\x00"]


@given(st.lists(st.sampled_from(PIECES)).map("".join), st.booleans())
def test_whatever_is_typed_every_entry_is_a_sendable_key(text: str, ndjson: bool) -> None:
    for entry in parse_key_lines(text.encode(), ndjson).entries:
        key = entry.secret.reveal()
        assert key and all("!" <= character <= "~" for character in key)
