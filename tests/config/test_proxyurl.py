"""What a proxy's URL means, and that it keeps its password to itself."""

from __future__ import annotations

import pytest

from gateway.config.proxyurl import ProxyUrl
from gateway.secret import Secret


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "user", "password"),
    [
        ("http://proxy.example.org:3128", "http", "proxy.example.org", 3128, "", ""),
        ("  HTTP://Proxy.Example.org:3128/ ", "http", "proxy.example.org", 3128, "", ""),
        ("https://ann:secret@10.0.0.1:443", "https", "10.0.0.1", 443, "ann", "secret"),
        ("socks5://ann:secret@[2001:DB8::1]:1080", "socks5", "2001:db8::1", 1080, "ann", "secret"),
        ("socks5h://localhost:1080", "socks5h", "localhost", 1080, "", ""),
        ("http://ann:p%40ss%2Fw%3Ard@h:1", "http", "h", 1, "ann", "p@ss/w:rd"),
        ("http://ann:p@ss/w:r#d?@h:1", "http", "h", 1, "ann", "p@ss/w:r#d?"),
        ("http://ann@h:1", "http", "h", 1, "ann", ""),
        ("http://:only@h:1", "http", "h", 1, "", "only"),
        ("http://bücher.example:80", "http", "xn--bcher-kva.example", 80, "", ""),
    ],
)
def test_a_url_is_taken_apart(text: str, scheme: str, host: str, port: int, user: str, password: str) -> None:
    proxy = ProxyUrl.parse(text)
    assert (proxy.scheme, proxy.host, proxy.port) == (scheme, host, port)
    assert (proxy.user, proxy.password.reveal()) == (user, password)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "begin with"),
        ("proxy.example.org:3128", "begin with"),
        ("ftp://h:1", "begin with"),
        ("socks4://h:1", "begin with"),
        ("http://h", "host:port"),
        ("http://h:", "host:port"),
        ("http://h:80/path", "host:port"),
        ("http://h:x", "host:port"),
        ("http://h:0", "from 1 to 65535"),
        ("http://h:65536", "from 1 to 65535"),
        ("http://:80", "host is not valid"),
        ("http://1.2.3:80", "host is not valid"),
        ("http://a b:80", "host is not valid"),
        ("http://" + "ü" * 64 + ":80", "host is not valid"),
        ("http://[::g]:80", "no IPv6 address"),
        ("http://a%3Ab:c@h:1", "colon"),
        ("http://a:b%0D%0Ax@h:1", "control characters"),
        ("socks5://ann@h:1", "both"),
        ("socks5://ann:pässword@h:1", "ASCII"),
        ("socks5://ann:" + "x" * 256 + "@h:1", "up to 255"),
    ],
)
def test_what_is_no_proxys_url_is_refused_with_words(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ProxyUrl.parse(text)


@pytest.mark.parametrize("text", ["http://ann:hunter2@h", "ftp://ann:hunter2@h:1", "socks5://a:hunter2%00@h:1"])
def test_a_refusal_does_not_show_the_password(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        ProxyUrl.parse(text)
    assert "hunter2" not in str(caught.value)


def test_nothing_that_is_printed_has_the_password() -> None:
    proxy = ProxyUrl.parse("http://ann:hunter2@h:1")
    assert str(proxy) == "http://h:1"
    assert proxy.fingerprint == "http://ann:****@h:1"
    assert ProxyUrl.parse("socks5://[::1]:1080").fingerprint == "socks5://[::1]:1080"
    assert "hunter2" not in f"{proxy} {proxy!r} {proxy.fingerprint}"


@pytest.mark.parametrize(
    "other",
    [
        "https://ann:pass@h:1",
        "http://ann:pass@g:1",
        "http://ann:pass@h:2",
        "http://bob:pass@h:1",
        "http://ann:word@h:1",
    ],
)
def test_two_proxies_are_the_same_when_everything_is(other: str) -> None:
    proxy = ProxyUrl.parse("http://ann:pass@h:1")
    assert proxy == ProxyUrl("http", "h", 1, "ann", Secret("pass"))
    assert hash(proxy) == hash(ProxyUrl.parse("HTTP://ann:p%61ss@H:1/"))
    assert proxy != ProxyUrl.parse(other)
    assert proxy.digest != ProxyUrl.parse(other).digest


def test_the_digest_is_the_same_in_every_release() -> None:
    proxy = ProxyUrl.parse("http://ann:pass@h:1")
    assert proxy.digest.hex() == "8be5e25be593bccab68fdac324cc9439b1866713e97c76fe0d0dfcba8c9e41a5"


def test_credentials_cannot_be_moved_about_without_changing_the_digest() -> None:
    assert ProxyUrl("http", "h", 1, "a", Secret("b:c")) != ProxyUrl("http", "h", 1, "a:b", Secret("c"))
