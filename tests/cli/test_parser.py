"""What the program says of commands and options that it does not know."""

from __future__ import annotations

import pytest

from gateway.cli import users
from gateway.cli.parser import Parser
from tests.cli.place import run


@pytest.mark.parametrize(
    ("words", "usage", "message"),
    [
        (["kyes"], "llmgateway", "'help'); did you mean \"keys\"?"),
        (["keys", "lst"], "llmgateway keys", 'did you mean "list"?'),
        (["status", "--wtach"], "llmgateway status", 'unrecognized arguments: --wtach; did you mean "--watch"?'),
        (["keys", "list", "--limt=5"], "llmgateway keys list", '--limt=5; did you mean "--limit"?'),
        (["status", "--zzz", "now"], "llmgateway status", "unrecognized arguments: --zzz now\n"),
        (["zzz"], "llmgateway", "'help')\n"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_nearest(
    words: list[str], usage: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"usage: {usage} [-h]")
    assert message in said


@pytest.mark.parametrize("words", ["ann rpm=60 --none", "ann --none rpm=60", "--none ann rpm=60", "ann --json rpm=60"])
def test_options_may_stand_before_a_list_of_words(words: str) -> None:
    parser = Parser()
    users.add_parser(parser.add_subparsers())
    assert parser.parse_args(["users", "set-limit", *words.split()]).limits == [("requests_per_minute", 60)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["users", "set-limit", "ann", "--none", "rpx=60"], "there is no limit 'rpx'"),
        (["tokens", "create", "--user", "a", "--expires", "30"], "with its unit"),
        (["tokens", "create", "--user", "a", "--expires", "-1d"], "argument --expires: '-1d' is in the past"),
        (["tokens", "create", "--user", "a", "--expires=-1d"], "argument --expires: '-1d' is in the past"),
        (["tokens", "jwt", "--user", "a", "--ttl", "-30m"], "argument --ttl: '-30m' is in the past"),
        (["usage", "--since", "-1d"], "argument --since: '-1d' is no span of time"),
        (["tokens", "create"], "write --user NAME"),
        (["users", "set-limit", "ann"], "write rpm=60, say, or --none"),
    ],
)
def test_what_is_missing_is_said(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) > 0
    assert message in capsys.readouterr().err
