"""Restricts the service's outgoing connections: public addresses only, unless a watch allows private ones."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

NAT64 = ipaddress.ip_network("64:ff9b::/96")
DELIVERY_TIMEOUT = 10.0
"""Seconds for one delivery, from resolving the name to the response."""


class PrivateAddressError(OSError):
    """The address belongs to this machine or its network, and the watch does not allow that."""

    def __init__(self, host: str, address: str) -> None:
        where = host if host == address else f"{host} ({address})"
        super().__init__(f"{where} is not a public address; allow it with --allow-private")


def is_public(address: str) -> bool:
    """Tells whether an IP address is public; one that embeds an IPv4 address is judged by that."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


class PublicResolver(AbstractResolver):
    """Resolves names, and refuses those with any address that is not public.

    The connection is made to the addresses that were checked, so a name that resolves differently the second time
    (DNS rebinding) gains nothing.
    """

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Returns the addresses of ``host``.

        Raises:
            PrivateAddressError: one of them is not public.
        """
        results = await self._resolver.resolve(host, port, family)
        for result in results:
            if not is_public(result["host"]):
                raise PrivateAddressError(host, result["host"])
        return results

    async def close(self) -> None:
        """Closes the wrapped resolver."""
        await self._resolver.close()


def open_session(allow_private: bool, resolver: AbstractResolver | None = None) -> ClientSession:
    """Opens an HTTP client without cookies and proxies; it connects to public addresses only, unless allowed.

    An IP address in place of a name is not resolved: call ``check_ip_address`` before.
    """
    resolver = resolver or DefaultResolver()
    allowed = resolver if allow_private else PublicResolver(resolver)
    connector = TCPConnector(resolver=allowed, use_dns_cache=False, limit=64)
    return ClientSession(
        connector=connector, cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=DELIVERY_TIMEOUT)
    )


def check_ip_address(url: str) -> None:
    """Refuses a URL whose host is an IP address that is not public; passes names.

    Raises:
        PrivateAddressError: the address is not public.
    """
    host = URL(url).host or ""
    if _is_ip_address(host) and not is_public(host):
        raise PrivateAddressError(host, host)


async def check_webhook(url: str) -> None:
    """Refuses a webhook whose name resolves to an address that is not public; passes names that do not resolve.

    Raises:
        PrivateAddressError: an address is not public.
    """
    check_ip_address(url)
    parsed = URL(url)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parsed.host, parsed.port, type=socket.SOCK_STREAM)
    except OSError:
        return
    for *_, address in found:
        if not is_public(str(address[0])):
            raise PrivateAddressError(parsed.host or "", str(address[0]))
