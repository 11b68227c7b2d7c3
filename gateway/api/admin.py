"""`/admin/…`: what the command line asks of a running daemon. JSON both ways.

On the admin socket the file's permissions are the access control; on a TCP listener it takes an admin token.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from gateway import __version__, jsonlib
from gateway.api.admin_accounts import AccountAdmin, Endpoint
from gateway.api.admin_breakers import BreakerAdmin, breaker_rows
from gateway.api.admin_cache import CacheAdmin
from gateway.api.admin_keys import BATCH, asked, each_key, export_keys, matching, meant, parse_limit, parse_statuses
from gateway.api.admin_money import MoneyAdmin
from gateway.api.admin_proxies import ProxyAdmin
from gateway.api.admin_routes import RouteAdmin
from gateway.api.bodies import read_object
from gateway.api.errors import JSON
from gateway.api.inbound import Inbound
from gateway.config.model import Config
from gateway.config.tomltext import key_path
from gateway.config.validate import auth_is_on
from gateway.errors import ConfigError, GatewayError, RequestError, StoreError, sentence
from gateway.net.connection import Reply
from gateway.upstream.control import KeeperControl
from gateway.upstream.key import Key, Rest
from gateway.upstream.keypool import KeyPool
from gateway.upstream.listing import describe, named, standings
from gateway.upstream.outage import cause_of_rejections
from gateway.upstream.provider import Provider
from gateway.upstream.standings import Standings

if TYPE_CHECKING:
    from gateway.policy.pricing import PriceBook

KEYS_LIMIT = 1000
"""Keys in one listing unless the caller asks for more; a terminal shows fewer."""


class AdminSurface:
    """`config` is what the daemon runs with, `now` gives unix seconds, `started` is when the daemon was, `limits` tells
    where clients' limits are counted; `prices` are there with billing on."""

    def __init__(
        self,
        config: Config,
        providers: Mapping[str, Provider],
        routes: RouteAdmin,
        proxies: ProxyAdmin,
        accounts: AccountAdmin,
        cache: CacheAdmin,
        money: MoneyAdmin,
        control: KeeperControl,
        now: Callable[[], float],
        started: float,
        limits: Callable[[], dict[str, Any]],
        prices: PriceBook | None = None,
    ) -> None:
        self._config = config
        self._providers = providers
        self._route_admin = routes
        self._proxies = proxies
        self._accounts = accounts
        self._cache = cache
        self._money = money
        self._breakers = BreakerAdmin(providers)
        self._control = control
        self._now = now
        self._started = started
        self._limits = limits
        self._prices = prices

    def _routes(self) -> Mapping[str, tuple[str, Endpoint]]:
        """Made for each call: kept, it would be a circle, and frozen ones (`gc.freeze`) are never collected."""
        proxies, breakers = self._proxies, self._breakers
        return {
            "/admin/status": ("GET", self._status),
            "/admin/keys": ("GET", self._keys),
            "/admin/keys/disable": ("POST", self._disable),
            "/admin/keys/enable": ("POST", self._enable),
            "/admin/keys/clear": ("POST", self._clear),
            "/admin/keys/amnesty": ("POST", self._amnesty),
            "/admin/keys/check": ("POST", self._check),
            "/admin/proxies": ("GET", proxies.list),
            "/admin/proxies/check": ("POST", proxies.check),
            "/admin/proxies/clear": ("POST", proxies.clear),
            "/admin/routes": ("GET", self._route_admin.list),
            "/admin/prices": ("GET", self._find_prices),
            "/admin/cache": ("GET", self._cache.show),
            "/admin/cache/clear": ("POST", self._cache.clear),
            "/admin/checks": ("GET", self._checked),
            "/admin/breakers": ("GET", breakers.list),
            "/admin/breakers/reset": ("POST", breakers.reset),
            "/admin/guard/reset": ("POST", breakers.reset_guard),
            "/admin/maintenance/purge": ("POST", partial(self._maintain, "purge")),
            "/admin/maintenance/vacuum": ("POST", partial(self._maintain, "vacuum")),
            "/admin/maintenance/checkpoint": ("POST", partial(self._maintain, "checkpoint")),
            "/admin/sync": ("POST", self._sync),
            "/admin/reload": ("POST", self._reload),
        }

    async def handle(self, inbound: Inbound, reply: Reply) -> None:
        """Any admin call."""
        method, path = inbound.request.method, inbound.path
        if path == "/admin/keys/export":
            await export_keys(self._providers, inbound, reply)
            return
        endpoint = self._endpoint(method, path)
        try:
            answer = await endpoint(inbound)
        except StoreError as error:  # with the detail, which is nobody's business elsewhere
            message = "; ".join(filter(None, (str(error), error.hint)))
            raise RequestError(503, "store_unavailable", sentence(message), retry_after=5.0) from None
        await reply.send(200, [JSON, *inbound.own_headers()], jsonlib.dumps(answer))

    def _endpoint(self, method: str, path: str) -> Endpoint:
        """Raises RequestError 404, 405."""
        if (endpoint := self._money.endpoint(method, path)) is not None:
            return endpoint
        if path.startswith(("/admin/users", "/admin/tokens")):
            return self._accounts.endpoint(method, path)
        wanted, endpoint = self._routes().get(path, ("", None))
        if endpoint is None:
            raise RequestError(404, "not_found", f"There is nothing at {path[:200]}.")
        if method != wanted:
            message = f"{method[:20]} is not for this path."
            raise RequestError(405, "method_not_allowed", message, extra={"allow": wanted})
        return endpoint

    async def _find_prices(self, inbound: Inbound) -> dict[str, Any]:
        from gateway.api.admin_prices import find_prices  # so that a start without billing does without

        return find_prices(self._providers.values(), self._prices, inbound)

    async def _maintain(self, task: str, inbound: Inbound) -> dict[str, Any]:
        self._refuse_for_another(inbound)
        return await self._control.maintain(task)

    async def _sync(self, inbound: Inbound) -> dict[str, Any]:
        self._refuse_for_another(inbound)
        return await self._control.sync_now()

    async def _reload(self, inbound: Inbound) -> dict[str, Any]:
        self._refuse_for_another(inbound)
        try:
            return await self._control.reload()
        except ConfigError as error:
            raise RequestError(
                409,
                "config_error",
                "The configuration has problems; the old one stays.",
                extra={"problems": [str(problem) for problem in error.problems]},
            ) from None
        except GatewayError as error:
            raise RequestError(409, "reload_failed", f"{error}; the old configuration stays.") from None

    def _refuse_for_another(self, inbound: Inbound) -> None:
        """Whoever has edited a file means the gateway that runs with it, and may say so: {"config": "/its/path"}."""
        if not inbound.request.body:
            return
        named = read_object(inbound.request.body).get("config")
        if named is not None and named != os.path.realpath(self._config.path):
            raise RequestError(409, "other_config", f"This gateway runs with {self._config.path}.", param="config")

    async def _status(self, inbound: Inbound) -> dict[str, Any]:
        files = self._control.files()
        return {
            "version": __version__,
            "pid": os.getpid(),
            "uptime_seconds": round(self._now() - self._started, 1),
            "config": str(self._config.path),
            "auth": auth_is_on(self._config),
            "billing": self._config.billing.enabled,
            "own_files": _own_files(self._config),
            "providers": [
                await self._provider_status(provider, files.get(name, [])) for name, provider in self._providers.items()
            ],
            "proxies": self._proxies.status(),
            "limits": self._limits(),
            "inventory_problem": self._control.inventory_problem(),
        }

    async def _provider_status(self, provider: Provider, files: list[dict[str, Any]]) -> dict[str, Any]:
        pool = provider.pool
        return {
            "name": provider.name,
            "type": provider.type.name,
            "base_url": self._config.shown(
                f"{key_path('providers', provider.name)}.base_url", provider.config.base_url
            ),
            "keys": sum(pool.standings.counts.values()),
            "usable": pool.usable,
            "due": min(len(pool.standings.rotation.due), pool.usable),
            "waiting": len(pool.waiters),
            "counts": {status.value: n for status, n in sorted(pool.standings.counts.items()) if n},
            "next_recovery": pool.standings.next_wake(),
            "probing": pool.standings.probing.kind,
            "to_probe": await _count_to_probe(pool.standings),
            "guard": _guard(pool),
            "outage": _outage(pool),
            "breakers": [row for row in breaker_rows(provider) if row["state"] != "closed" and row["of"] != "keys"],
            "groups": await _groups(pool),
            "files": files,
        }

    async def _keys(self, inbound: Inbound) -> dict[str, Any]:
        query = parse_qs(inbound.request.query)
        statuses = parse_statuses(",".join(query.get("status", [])))
        limit = parse_limit(query, KEYS_LIMIT)
        rows: list[dict[str, Any]] = []
        total = 0
        async for provider, key in matching(
            self._providers, query.get("provider", [""])[0], query.get("pattern", ["*"])[0]
        ):
            for model, standing in standings(key):
                if not statuses or standing.status in statuses:
                    total += 1
                    if len(rows) < limit:
                        rows.append(describe(provider.name, key, model, standing))
        return {"keys": rows, "total": total}

    async def _disable(self, inbound: Inbound) -> dict[str, Any]:
        return await self._change(inbound, Standings.disable)

    async def _enable(self, inbound: Inbound) -> dict[str, Any]:
        return await self._change(inbound, Standings.enable)

    async def _clear(self, inbound: Inbound) -> dict[str, Any]:
        return await self._change(inbound, Standings.clear)

    async def _amnesty(self, inbound: Inbound) -> dict[str, Any]:
        return await self._change(inbound, Standings.amnesty)

    async def _check(self, inbound: Inbound) -> dict[str, Any]:
        """Probe the named keys now: {"checks": [{"check", "provider", "total"}], "unprobed": [provider]}."""
        provider_name, pattern = asked(read_object(inbound.request.body))
        found: dict[str, list[Key]] = {}
        async for provider, key in meant(self._providers, provider_name, pattern):
            found.setdefault(provider.name, []).append(key)
        checks, unprobed = [], []
        for name, keys in found.items():
            check = self._control.start_check(name, keys)
            if check is None:
                unprobed.append(name)
            else:
                checks.append({"check": check, "provider": name, "total": len(keys)})
        return {"checks": checks, "unprobed": unprobed}

    async def _checked(self, inbound: Inbound) -> dict[str, Any]:
        name = parse_qs(inbound.request.query).get("check", [""])[0]
        checked = self._control.checked(name)
        if checked is None:
            raise RequestError(404, "not_found", f"There is no check {name[:100]!r}.", param="check")
        return checked

    async def _change(self, inbound: Inbound, act: Callable[[Standings, Key], bool]) -> dict[str, Any]:
        """Apply the operator's word to the keys that the body names, and save it: {"pattern", "provider"?}. Of the keys
        that are named ("matched") those that it changes are told and counted ("total")."""
        provider_name, pattern = asked(read_object(inbound.request.body))
        changed: list[dict[str, Any]] = []
        matched = total = 0
        async for provider, key in meant(self._providers, provider_name, pattern):
            matched += 1
            if not act(provider.pool.standings, key):
                continue
            total += 1
            if len(changed) < KEYS_LIMIT:
                changed.append(named(provider.name, key) | {"status": key.standing.status.value})
        if total:
            await self._control.save()
        return {"changed": changed, "total": total, "matched": matched}


def _own_files(config: Config) -> list[str]:
    """What the gateway reads, folders too, providers that are not enabled included: nobody should write over it."""
    files = [str(config.path)]
    for provider in config.providers.values():
        files += [*provider.keys, *([provider.proxy.file] if provider.proxy.listed else ())]
    return files


def _guard(pool: KeyPool) -> dict[str, Any] | None:
    """What the guard holds back, and why; None while all is well."""
    guard = pool.guard
    if not guard.tripped:
        return None
    return {
        "cause": cause_of_rejections(guard, pool.outage()).value,
        "since": guard.since,
        "keys": len(guard.suspects()),
        "canaries": guard.tries,
        "next_canary": guard.canary_at,
        "proxy": None if guard.way is None else guard.way.proxy.url.fingerprint,
        "last_error": guard.evidence,
    }


def _outage(pool: KeyPool) -> dict[str, Any] | None:
    """What keeps everybody from getting through, for no key's fault; None while all is well."""
    outage = pool.outage()
    if outage is None:
        return None
    return {
        "cause": outage.cause.value,
        "since": outage.since,
        "count": outage.count,
        "keys": outage.keys,
        "last_error": outage.last_error,
        "proxy": None if outage.proxy is None else outage.proxy.url.fingerprint,
    }


async def _count_to_probe(standings: Standings) -> int:
    """Keys that wait for a probe. Of those in line some need none any more, which they hear when it is their turn."""
    waiting: set[Key] = set()
    for n, rest in enumerate(list(standings.probing.wanted)):
        if n % BATCH == BATCH - 1:
            await asyncio.sleep(0)
        if standings.probing.wants(rest):
            waiting.add(rest.key)
    return len(waiting)


async def _groups(pool: KeyPool) -> list[dict[str, Any]]:
    """Benched keys by status and reason, with the last error and the next recovery of each group. Those whose rest is
    over are `due`, and groups of their own: for a "try", which makes them usable for one request, or for a "probe"."""
    groups: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    async for key in each_key(pool):
        for model, standing in standings(key):
            if standing.usable:
                continue
            due = pool.standings.probing.awaits(Rest(key, model), standing)
            name = (standing.status.value, standing.reason, model or "", due)
            group = groups.setdefault(
                name,
                {
                    "status": name[0],
                    "reason": name[1],
                    "model": model,
                    "keys": 0,
                    "due": due,
                    "until": None,
                    "last_error": "",
                },
            )
            group["keys"] += 1
            group["last_error"] = standing.evidence or group["last_error"]
            if standing.until is not None and not due:
                group["until"] = min(standing.until, group["until"] or standing.until)
    return [groups[name] for name in sorted(groups)]
