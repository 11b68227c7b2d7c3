"""What a reload changes, and what it cannot change. Pure."""

from __future__ import annotations

from gateway.config.model import Config
from gateway.config.setting import settings_of
from gateway.config.validate import auth_is_on
from gateway.errors import ConfigError, Problem


def refuse_what_cannot_change(old: Config, new: Config) -> None:
    """A database cannot be exchanged under a running process. What balances are in cannot become something else beneath
    them."""
    stay = []
    if old.store.url != new.store.url or old.state_dir != new.state_dir:
        stay.append("store.url")
    if old.billing.currency != new.billing.currency:  # balances would not be converted
        stay.append("billing.currency")
    if stay:
        why = "cannot change while running"
        raise ConfigError([Problem(str(new.path), name, why, "restart instead") for name in stay])


def list_switched(old: Config, new: Config) -> dict[str, bool]:
    """Of auth and billing, which decide over every request, those that went on or off, and which it is now."""
    now = {"auth": auth_is_on(new), "billing": new.billing.enabled}
    before = {"auth": auth_is_on(old), "billing": old.billing.enabled}
    return {name: on for name, on in now.items() if on != before[name]}


def list_changes(old: Config, new: Config) -> list[str]:
    """The tables that differ, for the operator: `server`, `providers.main`."""
    changed = []
    for table in settings_of(Config):
        before, after = getattr(old, table), getattr(new, table)
        if isinstance(before, dict):
            names = sorted({*before, *after})
            changed += [f"{table}.{name}" for name in names if before.get(name) != after.get(name)]
        elif before != after:
            changed.append(table)
    return changed
