"""Where the service may connect of its own accord: anywhere public; this network only where it was allowed."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

NAT64 = ipaddress.ip_network("64:ff9b::/96")
TIMEOUT = 10.0
"""Seconds for one delivery, from the name to the answer."""


class Inside(OSError):
    """The address is of this machine or its network, and that was not allowed."""

    def __init__(self, host: str, address: str) -> None:
        where = host if host == address else f"{host} ({address})"
        super().__init__(f"{where} is not a public address; allow it with --allow-private")


def is_public(address: str) -> bool:
    """Whether an IP address is of the open internet; addresses that carry an IPv4 address are judged by that."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def _literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


class Public(AbstractResolver):
    """Names to addresses; refused when any of them is not public.

    The connection is made to the addresses that were checked, so a name that answers otherwise the second time
    (DNS rebinding) gains nothing.
    """

    def __init__(self, names: AbstractResolver) -> None:
        self._names = names

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises Inside."""
        found = await self._names.resolve(host, port, family)
        for one in found:
            if not is_public(one["host"]):
                raise Inside(host, one["host"])
        return found

    async def close(self) -> None:
        """Close what resolves."""
        await self._names.close()


def session(private: bool, names: AbstractResolver | None = None) -> ClientSession:
    """A client without cookies and proxies, that connects to public addresses only unless ``private``.

    An address in place of a name is not resolved: ``check`` it before.
    """
    resolver = names or DefaultResolver()
    connector = TCPConnector(resolver=resolver if private else Public(resolver), use_dns_cache=False, limit=64)
    return ClientSession(connector=connector, cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=TIMEOUT))


def check(url: str) -> None:
    """Refuse an address in place of a name that is not public.

    Raises:
        Inside: it is not.
    """
    host = URL(url).host or ""
    if _literal(host) and not is_public(host):
        raise Inside(host, host)


async def check_now(url: str) -> None:
    """Refuse a webhook that is not public as far as can be told now; a name that nobody knows passes.

    Raises:
        Inside: it is not.
    """
    check(url)
    parts = URL(url)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.host, parts.port, type=socket.SOCK_STREAM)
    except OSError:
        return
    for *_, address in found:
        if not is_public(str(address[0])):
            raise Inside(parts.host or "", str(address[0]))
