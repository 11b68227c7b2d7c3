"""What a reload changes, and what it cannot change. Pure."""

from __future__ import annotations

from gateway.config.model import Config
from gateway.config.setting import settings_of
from gateway.errors import ConfigError, Problem


def refuse_what_cannot_change(old: Config, new: Config) -> None:
    """A database cannot be exchanged under a running process, and waits for the disk from its opening on or not. What
    balances are in cannot become something else beneath them."""
    if old.store.url != new.store.url or old.state_dir != new.state_dir:
        raise ConfigError([Problem(str(new.path), "store.url", "cannot change while running", "restart instead")])
    for name in ("enabled", "currency"):  # balances would not be converted
        if getattr(old.billing, name) != getattr(new.billing, name):
            raise ConfigError(
                [Problem(str(new.path), f"billing.{name}", "cannot change while running", "restart instead")]
            )


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
