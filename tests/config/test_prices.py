"""Prices written into the text of a configuration: before on the left, after on the right."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.config.prices import AMOUNTS, remove_price, set_price
from gateway.errors import ConfigError

PATH = Path("config.toml")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[prices."gpt-4.1"]\ninput = 2.50\noutput = 10\n'),
        ("# mine\n", '# mine\n\n[prices."gpt-4.1"]\ninput = 2.50\noutput = 10\n'),
        (
            '[prices."gpt-4.1"] # ours\n# so much\ninput = 1 # was 0.5\n[billing]\nenabled = true',
            '[prices."gpt-4.1"] # ours\noutput = 10\n# so much\ninput = 2.50 # was 0.5\n[billing]\nenabled = true',
        ),
        (
            "[prices.'gpt-4.1']\noutput=\"3\"\ninput  =  0.1\n",
            "[prices.'gpt-4.1']\noutput=10\ninput  =  2.50\n",
        ),
        (
            '[prices."gpt-4.1"]\ninput = 1\n[[prices."gpt-4.1".tiers]]\nabove = 9\ninput = 3\n',
            '[prices."gpt-4.1"]\noutput = 10\ninput = 2.50\n[[prices."gpt-4.1".tiers]]\nabove = 9\ninput = 3\n',
        ),
        (
            '[prices]\n"gpt-4.1".input = 1\n"gpt-4.1".output = 3\n',
            '[prices]\n"gpt-4.1".input = 2.50\n"gpt-4.1".output = 10\n',
        ),
        (
            "[prices.other]\ninput = 1\n",
            '[prices.other]\ninput = 1\n\n[prices."gpt-4.1"]\ninput = 2.50\noutput = 10\n',
        ),
    ],
)
def test_amounts_are_written_in_place_and_nothing_else_is_touched(before: str, after: str) -> None:
    assert set_price(before, "gpt-4.1", {"input": Decimal("2.50"), "output": Decimal(10)}, PATH) == after


def test_a_model_may_be_called_anything() -> None:
    name = 'main/a "b" \\1.=#'
    assert tomllib.loads(set_price("", name, {"input": Decimal(1)}, PATH)) == {"prices": {name: {"input": 1}}}


@pytest.mark.parametrize(
    "before",
    [
        'prices = {"gpt-4.1" = {input = 1}}\n',
        '[prices]\n"gpt-4.1" = {output = 1}\n',
        '[prices]\n"gpt-4.1" = 3\n',
        "prices = 3\n",
        "prices = [",
    ],
)
def test_what_cannot_be_edited_is_refused(before: str) -> None:
    with pytest.raises(ConfigError):
        set_price(before, "gpt-4.1", {"input": Decimal(2)}, PATH)


@pytest.mark.parametrize(
    ("before", "amounts"),
    [
        ("", {"input": Decimal("0.0000025")}),
        ("[prices.m]\ninput = 1\n", {"output": Decimal("0.00001")}),
        ("", {"input": Decimal(10**9)}),
        ("", {"cache_read": Decimal(1)}),
    ],
)
def test_amounts_that_nobody_can_mean_are_refused(before: str, amounts: dict[str, Decimal]) -> None:
    with pytest.raises(ConfigError):
        set_price(before, "m", amounts, PATH)


def test_a_table_that_has_its_price_takes_any_other_amount() -> None:
    assert set_price("[prices.m]\ninput = 1\n", "m", {"cache_read": Decimal("0.1")}, PATH) == (
        "[prices.m]\ncache_read = 0.1\ninput = 1\n"
    )


def test_every_amount_of_a_price_can_be_set() -> None:
    from gateway.cli.prices import AMOUNTS as OPTIONS

    assert {name.replace("-", "_") for name, _ in OPTIONS} == set(AMOUNTS)


def test_amounts_and_whole_prices_are_taken_away() -> None:
    text = "# a\n[prices.m] # ours\ninput = 1\noutput = 2 # was 3\ncache_read = 1\n[[prices.m.tiers]]\nabove = 9\n"
    without = set_price(text, "m", {"cache_read": None, "output": Decimal(4)}, PATH)
    assert without == text.replace("cache_read = 1\n", "").replace("= 2 #", "= 4 #")
    assert remove_price(text, "m", PATH) == "# a\n"
    assert remove_price("[prices]\nm.input = 1\nn.input = 2\n", "m", PATH) == "[prices]\nn.input = 2\n"
    for inline in ("prices = {m = {input = 1}}\n", "[prices]\nn.input = 1\n"):
        with pytest.raises(ConfigError, match=r"prices\.m"):
            remove_price(inline, "m", PATH)


def test_the_last_amount_goes_with_the_whole_price_alone() -> None:
    with pytest.raises(ConfigError, match="has no price"):
        set_price("[prices.m]\ninput = 1\ncache_read = 2\n", "m", {"input": None}, PATH)
