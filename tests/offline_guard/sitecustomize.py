"""Put on PYTHONPATH by the offline lane: every Python process refuses, and notes, each way off the machine."""

from __future__ import annotations

import ipaddress
import os
import socket
import traceback
from pathlib import Path
from typing import Any

_LOCAL_NAMES = {None, "", "localhost", b"localhost", socket.gethostname()}
_connect, _connect_ex, _sendto = socket.socket.connect, socket.socket.connect_ex, socket.socket.sendto
_getaddrinfo = socket.getaddrinfo


def _is_local(host: Any) -> bool:
    if host in _LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _check(what: str, host: Any) -> None:
    if _is_local(host):
        return
    with Path(os.environ["NETWORK_GUARD_LOG"]).open("a") as log:
        log.write(f"{what} {host!r}\n{''.join(traceback.format_stack(limit=12))}\n")
    raise OSError(f"the offline lane refuses {what} {host!r}")


def _guarded(original: Any, what: str) -> Any:
    def call(self: socket.socket, *arguments: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            address = next((a for a in reversed(arguments) if isinstance(a, tuple)), (None,))
            _check(what, address[0])
        return original(self, *arguments)

    return call


def _resolve(host: Any, *arguments: Any, **named: Any) -> Any:
    _check("resolve", host)
    return _getaddrinfo(host, *arguments, **named)


socket.socket.connect = _guarded(_connect, "connect")  # type: ignore[method-assign]
socket.socket.connect_ex = _guarded(_connect_ex, "connect")  # type: ignore[method-assign]
socket.socket.sendto = _guarded(_sendto, "send")  # type: ignore[method-assign]
socket.getaddrinfo = _resolve
socket.gethostbyname = lambda host: _resolve(host, None)[0][4][0]
