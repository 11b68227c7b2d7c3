"""What the program says of commands and options that it does not know."""

from __future__ import annotations

import pytest

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
