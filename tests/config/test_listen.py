"""Listen addresses."""

from __future__ import annotations

import pytest

from gateway.config.listen import Listener, is_loopback_listener, overlap, parse_listen


@pytest.mark.parametrize(
    ("spec", "listener", "loopback"),
    [
        ("127.0.0.1:8000", Listener("tcp", "127.0.0.1", 8000), True),
        ("127.9.9.9:0", Listener("tcp", "127.9.9.9", 0), True),
        ("LocalHost:80", Listener("tcp", "localhost", 80), True),
        ("[::1]:8000", Listener("tcp", "::1", 8000), True),
        ("[0:0:0:0:0:0:0:1]:8000", Listener("tcp", "0:0:0:0:0:0:0:1", 8000), True),
        ("unix:/run/gateway.sock", Listener("unix", path="/run/gateway.sock"), True),
        ("fd:http", Listener("fd", path="http"), True),
        ("0.0.0.0:65535", Listener("tcp", "0.0.0.0", 65535), False),
        ("[::]:8000", Listener("tcp", "::", 8000), False),
        ("[::ffff:127.0.0.1]:8000", Listener("tcp", "::ffff:127.0.0.1", 8000), False),
        ("[fe80::1%eth0]:8000", Listener("tcp", "fe80::1%eth0", 8000), False),
        ("128.0.0.1:1", Listener("tcp", "128.0.0.1", 1), False),
        ("127.0.0.1.example.org:1", Listener("tcp", "127.0.0.1.example.org", 1), False),
        ("localhost.example.org:1", Listener("tcp", "localhost.example.org", 1), False),
    ],
)
def test_an_address_is_understood(spec: str, listener: Listener, loopback: bool) -> None:
    assert parse_listen(spec) == listener
    assert is_loopback_listener(spec) is loopback


@pytest.mark.parametrize(
    "spec",
    [
        "", "8000", ":8000", "localhost", "localhost:", "localhost:65536", "localhost:-1", "localhost:８０", "::1:8000",
        "[::1]", "[::1:8000", "[:::]:1", "256.1.1.1:1", "127.1:1", "1.2.3:1", "a b:1", "-a:1", "unix:", "fd:", "fd:a b",
        "http://localhost:80", "unix:/" + "x" * 107, "127.0.0.²:1",
    ],
)  # fmt: skip
def test_a_malformed_address_is_refused_and_never_taken_for_loopback(spec: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has|names) "):
        parse_listen(spec)
    assert not is_loopback_listener(spec)


@pytest.mark.parametrize(
    ("one", "other", "same_place"),
    [
        ("127.0.0.1:1", "127.0.0.1:1", True),
        ("127.0.0.1:1", "127.0.0.1:2", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
        ("0.0.0.0:1", "127.0.0.1:1", True),
        ("0.0.0.0:1", "localhost:1", True),
        ("0.0.0.0:1", "a.example:1", False),
        ("0.0.0.0:1", "[::1]:1", False),
        ("0.0.0.0:1", "[::]:1", False),
        ("[::]:1", "[::1]:1", True),
        ("[0::0]:1", "[fe80::1%eth0]:1", True),
        ("[::1]:1", "[0:0:0:0:0:0:0:1]:1", True),
        ("[fe80::1%eth0]:1", "[fe80::1%eth1]:1", False),
        ("localhost:1", "127.0.0.1:1", True),
        ("unix:/a", "unix:/a", True),
        ("unix:/a", "unix:/b", False),
        ("fd:a", "unix:a", False),
        ("unix:/a", "0.0.0.0:1", False),
    ],
)
def test_two_listeners_overlap_where_the_kernel_would_refuse_the_second(one: str, other: str, same_place: bool) -> None:
    assert overlap(parse_listen(one), parse_listen(other)) is same_place
    assert overlap(parse_listen(other), parse_listen(one)) is same_place
