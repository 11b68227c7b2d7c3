"""The documents hold: the commands, settings, metrics and files that they name exist."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import get_args, get_origin

import pytest

from gateway.cli import build_parser
from gateway.cli.help_topics import topics
from gateway.config.load import parse_config
from gateway.config.model import Config
from gateway.config.setting import settings_of
from gateway.observe.families import FAMILIES
from gateway.providers import PROVIDER_FACTS, PROVIDER_TYPES
from gateway.providers.endpoints import ANTHROPIC, CHAT, GEMINI, RESPONSES
from tests import errors_page

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "gateway" / "docs").glob("*.md"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), ROOT / "keys" / "README.md", *PAGES]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
INDENTED = re.compile(r"^ {4,}.*$", re.M)
SPAN = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
CALL = re.compile(r"(?:^|[\s/])llmgateway((?: [a-z][a-z-]*)+(?: \| [a-z-]+)*)")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
TITLE = re.compile(r"^#+ (llmgateway .*)$", re.M)
SETTING = re.compile(r"[a-z_]+(?:\.[a-z_]+)+")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_in(text: str) -> Iterator[str]:
    """Everything that is set as code: fences, indented lines, spans, and titles that are commands."""
    yield from (body for _, body in FENCE.findall(text))
    prose = FENCE.sub("", text)
    yield from INDENTED.findall(prose)
    yield from (" ".join(span.split()) for span in SPAN.findall(prose))
    yield from TITLE.findall(text)


def actions_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The subcommands of a command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def all_commands(parser: argparse.ArgumentParser, way: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that does something, such as ("keys list", its parser)."""
    for word, inner in actions_of(parser).items():
        here = f"{way} {word}".strip()
        if actions_of(inner):
            yield from all_commands(inner, here)
        else:
            yield here, inner


def unknown_words(call: str) -> list[str]:
    """What a call in a document names that the parser does not know."""
    first, *rest = call.split()
    inner = actions_of(build_parser())
    if first not in inner:
        return [first]
    if first == "help":
        return [word for word in rest if word not in topics()]
    known = actions_of(inner[first])
    if not known:
        return []
    named = rest[:1] + [after for bar, after in pairwise(rest) if bar == "|"]
    return [word for word in named if word not in known]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_command_that_a_document_names_exists(document: Path) -> None:
    for code in code_in(document.read_text("utf-8")):
        for call in CALL.findall(code):
            assert not unknown_words(call), f"llmgateway{call}"


def test_the_readme_names_commands_that_the_test_can_see() -> None:
    code = "\n".join(code_in((ROOT / "README.md").read_text("utf-8")))
    assert {"serve", "status", "reload", "keys", "config", "help"} <= {call.split()[0] for call in CALL.findall(code)}


def test_a_command_that_does_not_exist_is_found_out() -> None:
    assert unknown_words(" probe") == ["probe"]
    assert unknown_words(" keys disable | revive") == ["revive"]


def test_the_page_of_commands_has_all_of_them_with_all_their_options() -> None:
    page = (ROOT / "gateway" / "docs" / "commands.md").read_text("utf-8")
    for command, parser in all_commands(build_parser()):
        lines = [line for line in page.splitlines() if re.search(rf"llmgateway {command}\b", line)]
        assert lines, command
        for action in parser._actions:
            for option in action.option_strings:
                if option not in ("-h", "--help"):
                    assert any(option in line for line in lines), f"{command} {option}"


def test_every_topic_begins_with_a_title_and_is_named_by_its_file() -> None:
    assert set(topics()) == {page.stem for page in PAGES}
    for topic, text in topics().items():
        assert re.fullmatch(r"# \S.*", text.splitlines()[0]), topic
        assert len(re.findall(r"^# ", FENCE.sub("", text), re.M)) == 1, topic


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_link_to_a_file_leads_to_one(document: Path) -> None:
    for target in LINK.findall(document.read_text("utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def setting_paths(table: type, prefix: str = "") -> Iterator[str]:
    """Every setting as documents name it; below [providers.NAME] and [tokens.NAME] without those."""
    for setting in settings_of(table).values():
        kind = get_args(setting.type)[1] if get_origin(setting.type) is dict else setting.type
        here = "" if kind is not setting.type and is_dataclass(kind) else f"{prefix}{setting.name}"
        if is_dataclass(kind):
            assert isinstance(kind, type)
            yield from setting_paths(kind, f"{here}." if here else "")
        yield here


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_setting_that_a_document_names_exists(document: Path) -> None:
    known = set(setting_paths(Config))
    tables = {path.partition(".")[0] for path in known if "." in path}
    for span in SPAN.findall(FENCE.sub("", document.read_text("utf-8"))):
        if SETTING.fullmatch(span) and span.partition(".")[0] in tables and not span.endswith((".toml", ".txt")):
            assert span in known, span


def test_the_page_on_operations_lists_every_metric_and_no_other() -> None:
    page = (ROOT / "gateway" / "docs" / "operations.md").read_text("utf-8")
    listed = set(re.findall(r"`((?:llm|llmgateway|process|rate_limit_requests)_[a-z_]+|user_balance)`", page))
    assert listed - {"llm_gateway"} == set(FAMILIES)


def test_the_page_on_operations_lists_every_event_of_the_log() -> None:
    page = (ROOT / "gateway" / "docs" / "operations.md").read_text("utf-8")
    sources = "".join(source.read_text("utf-8") for source in (ROOT / "gateway").rglob("*.py"))
    events = set(re.findall(r"log\.(?:info|warning|error)\(\s*\"([a-z_]+)\"", sources))
    assert events > {"ready", "stopped"}
    assert {event for event in events if f"`{event}`" not in page} == set()


def test_the_page_on_errors_has_the_tables_of_the_code() -> None:
    page = errors_page.PAGE.read_text("utf-8")
    assert page == errors_page.renewed(page), "python3 -m tests.errors_page renews it"
    assert page.count("\n| ") > 80


DIALECT_WORDS = {CHAT: "chat", RESPONSES: "responses", ANTHROPIC: "messages", GEMINI: "gemini"}


def test_the_page_on_configuration_lists_every_type_of_provider_with_dialects_and_address() -> None:
    page = (ROOT / "gateway" / "docs" / "config.md").read_text("utf-8")
    for kind, provider in PROVIDER_TYPES.items():
        dialects = ", ".join(DIALECT_WORDS[dialect] for dialect in provider.endpoints)
        address = re.escape(provider.base_url or provider.example)
        assert re.search(rf"^\| `{re.escape(kind)}` \|.*\| {dialects} \|.*{address} \|$", page, re.M), kind


SHOWING = [ROOT / "README.md", *(ROOT / "gateway" / "docs" / page for page in ("config.md", "errors.md"))]


@pytest.mark.parametrize("document", SHOWING, ids=name)
def test_configuration_that_a_document_shows_is_valid(document: Path, tmp_path: Path) -> None:
    text = document.read_text("utf-8")
    shown = [body for kind, body in FENCE.findall(text) if kind == "toml"]
    shown += ["\n".join(re.findall(r"^ {4}(.*)$", text, re.M))] if document.name == "config.md" else []
    assert shown
    (tmp_path / "alice.token").write_text("a-token-of-decent-length\n")
    for body in shown:
        parse_config(body, tmp_path / "config.toml", {}, provider_types=PROVIDER_FACTS)
