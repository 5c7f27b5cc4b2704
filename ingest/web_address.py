"""Which addresses a file may be fetched from: public ones, so that nobody reaches through openbook what is private."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable

import httpx

from rag.errors import UrlNotAllowed, UrlUnreadable

Resolve = Callable[[str, int], Awaitable[list[str]]]

# Of IPv6, those that stand for an address of IPv4, which a gateway may reach.
_TRANSLATED = tuple(
    map(
        ipaddress.IPv6Network,
        ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16"),
    )
)
_PORTS = {"http": 80, "https": 443}


def is_public(address: str) -> bool:
    try:
        at = ipaddress.ip_address(address)
    except ValueError:
        return False
    if at.version == 6 and any(at in network for network in _TRANSLATED):
        return False
    return at.is_global and not (at.is_multicast or at.is_reserved or at.is_unspecified)


def parsed(url: str) -> httpx.URL:
    """Raises UrlNotAllowed for any but plain http and https URLs."""
    try:
        found = httpx.URL(url)
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise UrlNotAllowed(f"{url[:200]!r} is not a URL.", "Send one that begins with https://") from error
    if found.scheme not in _PORTS or not found.host:
        raise UrlNotAllowed(
            f"{url[:200]!r} is not an http or https URL.", "Send one that begins with https://"
        )
    if found.userinfo:
        raise UrlNotAllowed(
            "The URL holds a user's name or password.", "Fetch the file yourself and upload it."
        )
    return found


async def addresses(url: httpx.URL, resolve: Resolve, allowed: Callable[[str], bool]) -> list[str]:
    """Where the URL's host is. Raises UrlNotAllowed unless each of these is allowed, UrlUnreadable if there is none."""
    try:
        found = await resolve(url.host, url.port or _PORTS[url.scheme])
    except (OSError, UnicodeError) as error:
        raise UrlUnreadable(f"The host {url.host} is not found.", "Is the URL right?") from error
    # All of them: which one would be taken is not for a name server to choose.
    if not found or not all(map(allowed, found)):
        raise UrlNotAllowed(
            f"The host {url.host} is at an address that is not public.",
            "Files of private networks are uploaded, or ingested from a folder.",
        )
    return found


async def resolved(host: str, port: int) -> list[str]:
    """Raises OSError where there is no such host."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
