"""Which pools a configuration needs, and what of them outlives a reload."""

from __future__ import annotations

from random import Random

from gateway.config.model import Config, ProxiesConfig
from gateway.config.provider import ProviderConfig, ProxyConfig
from gateway.config.proxyurl import ProxyUrl
from gateway.policy.verdict import Scope, Status, Verdict
from gateway.secret import Secret
from gateway.upstream.proxy import Proxy
from gateway.upstream.proxypools import ProxyPools

NONE = ProxyConfig()
STATIC = ProxyConfig("static", url=Secret("http://ann:secret@proxy.test:1"))
POOL = ProxyConfig("pool", file="/proxies/a.txt")
STICKY = ProxyConfig("sticky", file="/proxies/a.txt")
OTHER = ProxyConfig("pool", file="/proxies/b.txt")
BLOCKED = Verdict(Scope.PROXY, Status.NO_ACCESS, "unsupported_region")


def config_of(proxies: ProxiesConfig | None = None, **providers: ProxyConfig) -> Config:
    made = {name: ProviderConfig(name=name, type="openai", proxy=proxy) for name, proxy in providers.items()}
    return Config(providers=made, proxies=proxies or ProxiesConfig())


def arranged(config: Config, pools: ProxyPools | None = None) -> ProxyPools:
    pools = pools or ProxyPools(lambda: 0.0, Random(1))
    pools.arrange(config)
    return pools


def test_providers_with_the_same_file_share_a_pool_and_nothing_else() -> None:
    config = config_of(a=POOL, b=STICKY, c=OTHER, d=NONE)
    pools = arranged(config)
    a, b, c, d = (pools.of(provider) for provider in config.providers.values())
    assert a is not None and b is not None and c is not None and d is None
    assert a.pool is b.pool is not c.pool
    assert (a.sticky, b.sticky) == (False, True)
    assert a is not b
    assert dict(pools.of_files(config)) == {"/proxies/a.txt": a.pool, "/proxies/b.txt": c.pool}


def test_a_single_proxy_is_a_pool_of_one_whose_name_shows_no_password() -> None:
    config = config_of(a=STATIC)
    (pool,) = arranged(config)
    assert [proxy.url.host for proxy in pool.proxies.values()] == ["proxy.test"]
    assert "secret" not in pool.name
    assert not arranged(config).of_files(config)


def test_a_reload_keeps_what_is_known_and_takes_over_settings() -> None:
    before = config_of(a=POOL, b=OTHER)
    pools = arranged(before)
    user = pools.of(before.providers["a"])
    after = config_of(ProxiesConfig(rest=5.0), a=STICKY)
    arranged(after, pools)
    assert len(list(pools)) == 2  # the old providers still use them
    assert pools.of(after.providers["a"]) is user
    assert user is not None and user.sticky and user.pool.config.rest == 5.0
    pools.retire(after)
    assert [pool.name for pool in pools] == ["/proxies/a.txt"]


def test_a_provider_that_left_is_forgotten_by_the_pool() -> None:
    before = config_of(a=POOL, b=POOL)
    pools = arranged(before)
    for provider in before.providers.values():
        pools.of(provider)
    (pool,) = pools
    assert set(pool.users) == {"a", "b"}
    after = config_of(b=POOL)
    pools.arrange(after)
    pools.retire(after)
    assert set(pool.users) == {"b"}


def test_what_a_provider_that_left_said_of_proxies_is_forgotten() -> None:
    before = config_of(a=POOL, b=POOL)
    pools = arranged(before)
    (pool,) = pools
    proxy = Proxy(ProxyUrl("http", "proxy.test", 3))
    pool.add([proxy])
    a, b = pool.users["a"], pool.users["b"]
    a.succeed(pool.lend(proxy))
    b.report(pool.lend(proxy), BLOCKED)
    assert not proxy.usable_for("b")
    after = config_of(a=POOL)
    pools.arrange(after)
    pools.retire(after)
    assert not proxy.blocks
    b.report(pool.lend(proxy), BLOCKED)  # by a request that began before
    assert not proxy.blocks
    pools.arrange(before)
    assert pool.users["b"] is not b and proxy.usable_for("b")


def test_proxies_are_counted_by_file_and_single_ones_together() -> None:
    pools = arranged(config_of(a=STATIC, b=ProxyConfig("static", url=Secret("http://proxy.test:2")), c=POOL, d=OTHER))
    named = {pool.name: pool for pool in pools}
    named["/proxies/a.txt"].add([Proxy(ProxyUrl("http", "proxy.test", port)) for port in (3, 4, 5)])
    assert pools.counts() == {("", "untested"): 2, ("/proxies/a.txt", "untested"): 3}
