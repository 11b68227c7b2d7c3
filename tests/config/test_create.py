"""Writing configuration: new, further and removed providers, the example."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.create import create_config, example_config, remove_provider
from gateway.config.model import Config
from gateway.config.provider import ErrorParsingConfig
from gateway.errors import ConfigError, GatewayError
from tests.config.facts import FACTS, PATH, parse

ROOT = Path(__file__).parents[2]


def create(text: str | None, *specs: str, full: bool = False) -> str:
    return create_config(text, specs, full, FACTS)


def test_the_minimum_is_three_lines_that_load() -> None:
    text = create(None, "openai:main")
    assert text == '[providers.main]\ntype = "openai"\nkeys = "keys/main.txt"\n'
    assert parse(text).providers["main"].keys == ("/etc/gateway/keys/main.txt",)


def test_several_providers_at_once() -> None:
    assert create(None, "openai:a", "echo:b.c") == (
        '[providers.a]\ntype = "openai"\nkeys = "keys/a.txt"\n\n[providers."b.c"]\ntype = "echo"\n'
    )


def test_a_further_provider_is_appended_and_comments_stay() -> None:
    before = "# mine\n[queue] # waiting\nmax = 5"
    after = create(before, "echo:main")
    assert after == before + '\n\n[providers.main]\ntype = "echo"\n'


def test_a_type_without_a_default_address_asks_for_one() -> None:
    with pytest.raises(ConfigError, match=r"providers.main.base_url: is missing"):
        parse(create(None, "azure:main"))


@pytest.mark.parametrize("spec", ["openai:main", "echo:main"])
def test_the_full_text_says_every_setting_and_means_the_same_as_the_minimum(spec: str) -> None:
    full = create(None, spec, full=True)
    assert parse(full) == parse(create(None, spec))
    assert "shared_key_status = true\n" in full
    assert "\n# connections to the provider at once" in full


def test_full_adds_to_an_existing_file_only_what_is_the_providers() -> None:
    text = create("[queue]\nmax = 5\n", "echo:main", full=True)
    assert parse(text).queue.max == 5
    assert "[server]" not in text
    assert "on_server_error = { attempts = 2, backoff = 0.5, factor = 2.0 }" in text


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("openai", "is not TYPE:NAME"),
        ("openai:", "is not TYPE:NAME"),
        ("openai:a/b", "is not TYPE:NAME"),
        ("opnai:main", 'did you mean "openai"?'),
        (":main", "there is no provider type"),
        ("nope:main", 'there is no provider type "nope" (all of them: llmgateway help config)'),
    ],
)
def test_a_wrong_spec_is_a_problem(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        create(None, spec)


def test_a_name_is_given_once() -> None:
    with pytest.raises(ConfigError, match="given twice"):
        create(None, "openai:a", "echo:a")
    with pytest.raises(GatewayError, match="there is a provider a already"):
        create(create(None, "openai:a"), "echo:a")


@pytest.mark.parametrize("text", ["[", "providers = {a = {type = 'echo'}}", "providers = 1", "[[providers]]"])
def test_a_text_to_which_nothing_can_be_appended_is_left_alone(text: str) -> None:
    with pytest.raises(ConfigError):
        create(text, "echo:main")


# Removing

BEFORE = '# head\n[server] # "["\nlisten = [ # ]\n  "127.0.0.1:1",\n]\n\n# about main\n'
BLOCK = (
    "[providers.main] # [providers.other]\ntype = 'echo'\n# inside\n\n# more inside\n"
    "[ providers . \"main\" . headers ]\nx = '''\n[server]\n''' # [queue]\n# a default\n\n"
)
AFTER = '# about the queue\n[queue]\nmax = 5\n\n[providers.other]\ntype = "echo"\n\n# the end'


@pytest.mark.parametrize("block", [BLOCK, BLOCK.replace("main", "other-one").replace("other-one", "main")])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_removing_cuts_the_tables_and_leaves_every_other_byte(block: str, line_end: str) -> None:
    before, block, after = (part.replace("\n", line_end) for part in (BEFORE, block, AFTER))
    assert remove_provider(before + block + after, "main") == before + after
    assert (
        remove_provider(before + after.rstrip() + line_end * 2 + block, "main")
        == before + after.rstrip() + line_end * 2
    )
    assert remove_provider(block, "main") == ""


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("[providers.main]\n[providers.main2]\ntype='echo'", "[providers.main2]\ntype='echo'"),
        ("[providers.main]\ntype='echo'\n# next\n[queue]\n", "# next\n[queue]\n"),
        ("[providers.main.retry]\n[queue]\n[providers.main]\nenabled=true", "[queue]\n"),
        ("[providers]\nmain.type = 'echo'\nother.type = 'echo'\n", "[providers]\nother.type = 'echo'\n"),
        ("[providers]\nmain = {type = 'echo'}\n", "[providers]\n"),
        ("providers.main.type = 'echo'\nqueue.max = 1\n", "queue.max = 1\n"),
        ('[providers.main]\nkeys = """a\\\n"""""\ntype = \'echo\'\n', ""),
        ("[[providers.main.rules]]\na = 1\n[[providers.main.rules]]\na = 2\n[x]", "[x]"),
        ("[providers.main]\ntype = 'echo'\n\n# --- section ---\n\n[queue]\n", "# --- section ---\n\n[queue]\n"),
    ],
)
def test_removing_follows_every_way_to_write_a_table(text: str, rest: str) -> None:
    assert remove_provider(text, "main") == rest


def test_an_inline_table_of_all_providers_is_left_to_the_operator() -> None:
    with pytest.raises(ConfigError, match="by hand"):
        remove_provider("providers = {main = {type = 'echo'}}", "main")


@pytest.mark.parametrize("text", ["", "[providers.mian]\ntype = 'echo'", "providers = 1"])
def test_what_is_not_there_cannot_be_removed(text: str) -> None:
    with pytest.raises(GatewayError, match="there is no provider main"):
        remove_provider(text, "main")


COMMENT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=10)
VALUE = st.sampled_from(
    ["1", '"a#]\\"["', "'#['", "'''\n[providers.x]\n'''", '"""\\"\n[x]\n""""', "[\n[], #[\n{a=1}]", "{b.c = 1}"]
)


@given(st.lists(st.tuples(COMMENT, st.sampled_from("xyz"), VALUE, COMMENT), max_size=5, unique_by=lambda each: each[1]))
def test_removing_any_table_keeps_all_others(tables: list[tuple[str, str, str, str]]) -> None:
    texts = [
        f"#{above}\n\n[providers.{name}] #{side}\nkey = {value} #{side}\n\n" for above, name, value, side in tables
    ]
    text = "".join(texts)
    for _, name, _, _ in tables:
        expected = tomllib.loads(text)["providers"]
        del expected[name]
        assert tomllib.loads(remove_provider(text, name)).get("providers", {}) == expected


def test_adding_and_removing_again_leaves_the_file_as_it_was() -> None:
    text = create(AFTER + "\n", "openai:new", full=True)
    assert remove_provider(text, "new") == AFTER + "\n\n"


# The example


def test_the_example_in_the_repository_is_current() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "gateway.config.create"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (ROOT / "config.example.toml").read_text() == result.stdout == example_config(), (
        "renew it: python3 -m gateway.config.create > config.example.toml"
    )


def test_the_example_works_and_changes_no_default() -> None:
    config = parse(example_config())
    assert config == parse(create(None, "openai:main"))
    assert config.server == Config().server


def test_every_comment_of_the_example_may_be_uncommented(tmp_path: Path) -> None:
    (tmp_path / "alice.token").write_text("a-long-token\n")
    text = re.sub(r"^#(?=[a-z\[])", "", example_config(), flags=re.MULTILINE)
    config = parse(text, path=tmp_path / "config.toml")
    plain = parse(example_config(), path=tmp_path / "config.toml")
    (rule,) = config.providers["main"].error_parsing.rules
    assert (rule.status_code, rule.map_to) == (429, "no_quota"), (
        "an array of tables has an example instead of a default"
    )
    main = replace(config.providers["main"], error_parsing=ErrorParsingConfig())
    assert main == plain.providers["main"]
    assert config.server == plain.server
    assert config.tokens["alice"].scopes == ("use",)


def test_a_path_is_named_in_errors() -> None:
    with pytest.raises(ConfigError, match=re.escape(str(PATH))):
        create_config("[", ["echo:a"], False, FACTS, PATH)
