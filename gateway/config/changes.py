"""What a reload changes, and what it cannot change. Pure."""

from __future__ import annotations

from gateway.config.model import Config
from gateway.config.setting import settings_of
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
