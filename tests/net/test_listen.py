"""Sockets to listen on: Unix sockets and what lies in their way, inherited ones, addresses that are not ours."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from gateway.errors import StartError
from tests.net.raw import GET, connecting
from tests.net.scripted import both_loops
from tests.net.serving import serving


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError:
            return False
    return True


NEEDS_IPV6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@both_loops
async def test_no_part_of_an_answer_waits_until_the_one_before_has_been_acknowledged() -> None:
    async with serving() as served, served.connecting() as client:
        await client.send(GET)
        await client.read_answer()
        (connection,) = served.server._connections.values()
        # A twin of the socket, because uvloop's stand-in has no options.
        with socket.socket(fileno=os.dup(connection.transport.get_extra_info("socket").fileno())) as twin:
            assert twin.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@both_loops
async def test_a_unix_socket_serves_and_its_file_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with serving(listen=f"unix:{path}") as served:
        assert served.server.addresses() == [f"unix:{path}"]
        assert (await served.exchange(GET)).status == 200
        await served.server.unlisten(f"unix:{path}")
        assert not path.exists()


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
@both_loops
async def test_a_unix_socket_has_the_access_that_was_asked_for(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "socket"
    async with serving() as served:
        await served.server.listen(f"unix:{path}", mode=mode)
        assert stat.S_IMODE(path.stat().st_mode) == mode


@both_loops
async def test_the_file_of_a_killed_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(path))
        killed.listen()
    assert path.exists()
    async with serving(listen=f"unix:{path}") as served:
        assert (await served.exchange(GET)).status == 200


@both_loops
async def test_a_socket_on_which_somebody_answers_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with serving(listen=f"unix:{path}") as other, serving() as served:
        with pytest.raises(StartError) as caught:
            await served.server.listen(f"unix:{path}")
        assert "another process" in str(caught.value)
        assert (await other.exchange(GET)).status == 200


@both_loops
async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    async with serving() as served:
        with pytest.raises(StartError):
            await served.server.listen(f"unix:{path}")
    assert path.read_text() == "data"


@both_loops
async def test_a_socket_file_that_somebody_else_has_put_there_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with serving(listen=f"unix:{path}") as served:
        path.unlink()
        async with serving(listen=f"unix:{path}") as successor:
            await served.server.close()
            assert (await successor.exchange(GET)).status == 200


@both_loops
async def test_a_unix_socket_in_a_folder_that_is_not_there_cannot_be_listened_on(tmp_path: Path) -> None:
    async with serving() as served:
        with pytest.raises(StartError) as caught:
            await served.server.listen(f"unix:{tmp_path}/none/socket")
        assert caught.value.exit_code == 4


@both_loops
async def test_clients_of_a_unix_socket_have_no_address(tmp_path: Path) -> None:
    peers = []

    async def note(request: object, reply: object) -> None:
        peers.append(request.peer)  # type: ignore[attr-defined]
        await reply.send(204, [], b"")  # type: ignore[attr-defined]

    async with serving(note, listen=f"unix:{tmp_path}/socket") as served:
        await served.exchange(GET)
    async with serving(note) as served:
        await served.exchange(GET)
    assert peers == ["unix", "127.0.0.1"]


@both_loops
async def test_an_inherited_socket_is_served_and_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        given.setblocking(False)
        address = f"127.0.0.1:{given.getsockname()[1]}"
        async with serving(listen="fd:web", inherited={"web": given}) as served:
            assert served.server.addresses() == [address]
            assert (await served.exchange(GET)).status == 200
            await served.server.unlisten("fd:web")
            async with connecting(address) as waiting:
                await waiting.send(GET)
                await served.server.listen("fd:web")
                assert (await waiting.read_answer()).status == 200
        async with connecting(address):
            pass


@both_loops
async def test_an_inherited_unix_socket_is_served_and_its_file_stays(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as given:
        given.bind(path)
        given.listen()
        given.setblocking(False)
        async with serving(listen="fd:web", inherited={"web": given}) as served:
            assert served.server.addresses() == [f"unix:{path}"]
            assert (await served.exchange(GET)).status == 200
        assert os.path.exists(path)


@both_loops
async def test_a_socket_that_was_not_inherited_cannot_be_served() -> None:
    async with serving() as served:
        with pytest.raises(StartError) as caught:
            await served.server.listen("fd:web")
        assert "web" in str(caught.value)


@both_loops
async def test_a_port_that_is_taken_is_named() -> None:
    async with serving() as other, serving() as served:
        with pytest.raises(StartError) as caught:
            await served.server.listen(other.address)
        assert other.address in str(caught.value)
        assert caught.value.hint
        assert (await other.exchange(GET)).status == 200
        assert len(served.server.addresses()) == 1


@pytest.mark.parametrize("spec", ["192.0.2.1:0", "nobody.invalid:0", "nowhere", "127.0.0.1:99999", "fd:", "unix:"])
@both_loops
async def test_what_is_no_address_of_ours_cannot_be_listened_on(spec: str) -> None:
    async with serving() as served:
        with pytest.raises(StartError):
            await served.server.listen(spec)
        assert (await served.exchange(GET)).status == 200


@NEEDS_IPV6
@both_loops
async def test_ipv6_is_served() -> None:
    async with serving(listen="[::1]:0") as served:
        assert served.address.startswith("[::1]:")
        assert (await served.exchange(GET)).status == 200


@NEEDS_IPV6
@both_loops
async def test_all_addresses_of_a_name_share_a_port() -> None:
    async with serving() as served:
        await served.server.listen("localhost:0")
        found = served.server.addresses()[1:]
        assert len({address.rpartition(":")[2] for address in found}) == 1
        for address in found:
            async with connecting(address) as client:
                await client.send(GET)
                assert (await client.read_answer()).status == 200
