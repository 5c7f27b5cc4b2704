"""Where a Ray cluster is, looked at before Ray is."""

from __future__ import annotations

import socket

from rag.errors import BadSetting, ClusterUnavailable

_CONNECT_S = 5.0


def look_for(address: str) -> None:
    """Raises BadSetting where it is none, ClusterUnavailable where nothing listens. Ray itself looks for minutes."""
    try:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except ValueError as error:
        raise BadSetting(
            f"{address!r} is no address of a Ray cluster.", "Use auto, local, HOST:PORT or ray://HOST:PORT."
        ) from error
    except OSError as error:
        raise ClusterUnavailable(
            f"No Ray cluster answers at {address}: {error}.",
            "Start one with: ray start --head; or check the address and the firewall.",
        ) from error
