"""The socket that the service listens on."""

from __future__ import annotations

import asyncio
import socket

import pytest

from api.serve import bound

pytestmark = pytest.mark.process


async def test_a_reply_of_two_pieces_waits_for_no_acknowledgement() -> None:
    told: list[int] = []
    done = asyncio.Event()

    async def accepted(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()
        done.set()

    listening = bound("127.0.0.1", 0)
    async with await asyncio.start_server(accepted, sock=listening):
        _, writer = await asyncio.open_connection(*listening.getsockname())
        await asyncio.wait_for(done.wait(), 10)
        writer.close()
    assert told == [1]
