"""`/admin/proxies…`: listing, checking and clearing proxies, and their part of the status."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qs

from gateway.api.admin_keys import has_wildcard, parse_limit, parse_statuses, refuse_ambiguous
from gateway.api.bodies import read_object
from gateway.api.inbound import Inbound
from gateway.config.proxyurl import ProxyUrl
from gateway.errors import RequestError
from gateway.policy.proxyhealth import ALL_PROVIDERS
from gateway.policy.verdict import Status
from gateway.upstream.control import KeeperControl
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxypool import ProxyPool

PROXIES_LIMIT = 1000
"""Proxies in one answer unless the caller asks for more; the files in use have a few hundred."""

PROXY_STATUSES = tuple(
    status.value for status in (Status.UNTESTED, Status.VALID, Status.NETWORK_ERROR, Status.NO_ACCESS)
)

MASK = ":****@"
"""In the place of a password; no wildcards there."""


class ProxyAdmin:
    """`pools` are those of the configuration, whenever it is asked for them. No answer shows a password."""

    def __init__(self, pools: Iterable[ProxyPool], control: KeeperControl) -> None:
        self._pools = pools
        self._control = control

    def status(self) -> list[dict[str, Any]]:
        """Each pool: who uses it, how many proxies it has by status, and how its file is."""
        files = self._control.proxy_files()
        return [
            {
                "file": pool.name,
                "proxies": len(pool.proxies),
                "counts": pool.counts(),
                "usable": {user.provider: len(user.choice.usable) for user in pool.users.values()},
                "groups": _groups(pool),
                "files": files.get(pool.name, []),
            }
            for pool in self._pools
        ]

    async def list(self, inbound: Inbound) -> dict[str, Any]:
        """GET ?pattern&status&limit: a row for each proxy, and one more for each provider that has another status."""
        query = parse_qs(inbound.request.query)
        statuses = parse_statuses(",".join(query.get("status", [])), PROXY_STATUSES)
        limit = parse_limit(query, PROXIES_LIMIT)
        rows = [
            row
            for pool, proxy in self._matching(query.get("pattern", ["*"])[0])
            for row in _describe(pool, proxy)
            if not statuses or row["status"] in statuses
        ]
        return {"proxies": rows[:limit], "total": len(rows)}

    async def check(self, inbound: Inbound) -> dict[str, Any]:
        """POST {"pattern"}: probe these proxies now. {"checks": [{"check", "file", "total"}]}, see /admin/checks."""
        found: dict[ProxyPool, list[Proxy]] = {}
        for pool, proxy in self._meant(_asked(inbound)):
            found.setdefault(pool, []).append(proxy)
        return {
            "checks": [
                {"check": self._control.start_proxy_check(pool, proxies), "file": pool.name, "total": len(proxies)}
                for pool, proxies in found.items()
            ]
        }

    async def clear(self, inbound: Inbound) -> dict[str, Any]:
        """POST {"pattern"}: forget every verdict on these proxies, and save that. {"changed": […], "total"}."""
        changed = []
        for pool, proxy in self._meant(_asked(inbound)):
            pool.clear(proxy)
            changed.append(_named(pool, proxy) | {"status": proxy.standing.status.value})
        if changed:
            await self._control.save()
        return {"changed": changed[:PROXIES_LIMIT], "total": len(changed)}

    def _matching(self, pattern: str) -> Iterator[tuple[ProxyPool, Proxy]]:
        """Proxies by their whole URL; else by URL as it is listed or without credentials, by host:port, by the
        beginning of their digest, or by a `*` pattern of one of these; each file's in order."""
        pools = list(self._pools)
        whole = _digest_of(pattern)
        whole = whole if any(whole in pool.proxies for pool in pools) else b""
        for pool in pools:
            pool.wake_due()
            for proxy in sorted(pool.proxies.values(), key=lambda proxy: (str(proxy.url), proxy.digest)):
                if proxy.digest == whole or (not whole and _looks_like(proxy, pattern)):
                    yield pool, proxy

    def _meant(self, pattern: str) -> Sequence[tuple[ProxyPool, Proxy]]:
        """Those that something is done to. Raises RequestError 400 for a name without wildcards that several have."""
        found = list(self._matching(pattern))
        if not has_wildcard(pattern.replace(MASK, "")):
            refuse_ambiguous("proxies", len({proxy.digest for _, proxy in found}))
        return found


def _digest_of(pattern: str) -> bytes:
    """Of the proxy whose whole URL this is; empty if it is none."""
    try:
        return ProxyUrl.parse(pattern).digest
    except ValueError:
        return b""


def _looks_like(proxy: Proxy, pattern: str) -> bool:
    url = proxy.url
    if len(pattern) >= 8 and proxy.digest.hex().startswith(pattern):
        return True
    names = (url.fingerprint, str(url), url.authority)
    return pattern in names or any(fnmatchcase(name, pattern) for name in names)


def _asked(inbound: Inbound) -> str:
    pattern = read_object(inbound.request.body).get("pattern")
    if not isinstance(pattern, str) or not pattern:
        raise RequestError(400, "invalid_request_error", "'pattern' must name proxies.", param="pattern")
    return pattern


def _named(pool: ProxyPool, proxy: Proxy) -> dict[str, Any]:
    return {"file": pool.name, "proxy": proxy.url.fingerprint, "digest": proxy.digest.hex()[:16]}


def _describe(pool: ProxyPool, proxy: Proxy) -> Iterator[dict[str, Any]]:
    """Its standing for all providers (`provider` is null), and those that differ."""
    for name, standing in ((ALL_PROVIDERS, proxy.standing), *proxy.blocks.items()):
        yield {
            **_named(pool, proxy),
            "provider": None if name == ALL_PROVIDERS else name,
            "status": standing.status.value,
            "reason": standing.reason,
            "until": standing.until,
            "last_error": standing.evidence,
            "failing_since": standing.failing_since,
            "failures": standing.streak,
            "checked_at": proxy.checked_at or None,
        }


def _groups(pool: ProxyPool) -> list[dict[str, Any]]:
    """Resting proxies by status, reason and provider, with the last error and the earliest end of each group."""
    groups: dict[tuple[str, str, str], dict[str, Any]] = {}
    for proxy in pool.proxies.values():
        for row in _describe(pool, proxy):
            if row["until"] is None:
                continue
            name = (row["status"], row["reason"], row["provider"] or "")
            empty = {"status": name[0], "reason": name[1], "provider": row["provider"], "proxies": 0, "until": None}
            group = groups.setdefault(name, empty)
            group["proxies"] += 1
            group["until"] = min(row["until"], group["until"] or row["until"])
            group["last_error"] = row["last_error"]
    return [groups[name] for name in sorted(groups)]
