"""Two configurations on the left, what a reload says of them on the right."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config.accounts import BillingConfig, PriceConfig
from gateway.config.changes import list_changes, list_switched, refuse_what_cannot_change
from gateway.config.model import AuthConfig, Config, QueueConfig, ServerConfig, StoreConfig, TokenConfig
from gateway.config.provider import ProviderConfig
from gateway.config.routes import RouteConfig
from gateway.errors import ConfigError

OLD = Config(
    providers={"a": ProviderConfig(name="a"), "b": ProviderConfig(name="b")},
    tokens={"t": TokenConfig()},
    prices={"m": PriceConfig()},
    routes={"r": RouteConfig()},
)


@pytest.mark.parametrize(
    ("new", "changed"),
    [
        (OLD, []),
        (replace(OLD, server=ServerConfig(idle_timeout=1.0), queue=QueueConfig(max=1)), ["server", "queue"]),
        (replace(OLD, providers={"a": OLD.providers["a"]}), ["providers.b"]),
        (replace(OLD, providers={**OLD.providers, "c": ProviderConfig(name="c")}), ["providers.c"]),
        (replace(OLD, providers={**OLD.providers, "a": ProviderConfig(name="a", priority=1)}), ["providers.a"]),
        (replace(OLD, providers={}, tokens={}), ["tokens.t", "providers.a", "providers.b"]),
    ],
)
def test_the_tables_that_differ_are_named(new: Config, changed: list[str]) -> None:
    assert list_changes(OLD, new) == changed


@pytest.mark.parametrize(
    ("new", "switched"),
    [
        (replace(OLD, billing=BillingConfig(unpriced="free")), {}),
        (replace(OLD, auth=AuthConfig(required="false")), {}),  # as it was
        (replace(OLD, billing=BillingConfig(enabled=True)), {"billing": True}),
        (replace(OLD, server=ServerConfig(listen=("0.0.0.0:8000",))), {"auth": True}),
        (
            replace(OLD, auth=AuthConfig(required="true"), billing=BillingConfig(enabled=True)),
            {"auth": True, "billing": True},
        ),
    ],
)
def test_what_went_on_or_off_is_named(new: Config, switched: dict[str, bool]) -> None:
    assert list_switched(OLD, new) == switched
    assert list_switched(new, OLD) == {name: not on for name, on in switched.items()}


def test_every_table_is_looked_at() -> None:
    for table in {field.name for field in fields(Config)} - {"path", "state_dir", "masked"}:
        other: Any = {} if table in ("providers", "tokens", "prices", "routes") else None
        assert list_changes(OLD, replace(OLD, **{table: other})), table


@pytest.mark.parametrize(
    "new", [replace(OLD, store=StoreConfig(url="sqlite:other.db")), replace(OLD, state_dir=Path("/elsewhere"))]
)
def test_another_database_needs_a_restart(new: Config) -> None:
    with pytest.raises(ConfigError, match="restart instead"):
        refuse_what_cannot_change(OLD, new)
    refuse_what_cannot_change(OLD, replace(OLD, providers={}))


def test_balances_get_another_currency_by_a_restart_alone() -> None:
    with pytest.raises(ConfigError, match=r"billing\.currency: cannot change while running"):
        refuse_what_cannot_change(OLD, replace(OLD, billing=BillingConfig(currency="EUR")))
    refuse_what_cannot_change(OLD, replace(OLD, billing=BillingConfig(enabled=True)))
