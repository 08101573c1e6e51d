"""Restricts the service's outgoing connections: public addresses only, unless a watch allows private ones."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from aiohttp import AddrInfoType, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from yarl import URL

from footage.stream.errors import FootageError

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 through a gateway (RFC 6052). The prefix for local use, 64:ff9b:1::/48 (RFC 8215), is not public."""
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
SPECIAL_IPV6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocols; among them Teredo, which embeds an IPv4 address, benchmarks and ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which embeds an IPv4 address
        "3ffe::/16",  # 6bone, returned
        "3fff::/20",  # documentation
    )
)
SPECIAL_IPV4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network; Linux connects to itself
        "100.64.0.0/10",  # carriers
        "192.0.0.0/24",  # protocols
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",  # benchmarks
        "240.0.0.0/4",  # reserved
    )
)
"""Parts of the address space that are not public, from IANA's registries of special-purpose addresses. Python's
``is_global`` knows most of them, some only in later versions."""
DELIVERY_TIMEOUT = 10.0
"""Seconds for one delivery, from resolving the name to the response."""


class PrivateAddressError(FootageError, OSError):
    """The address belongs to this machine or its network, and the watch does not allow that."""

    def __init__(self, host: str, address: str) -> None:
        where = host if host == address else f"{host} ({address})"
        super().__init__(f"{where} is not a public address; allow it with --allow-private")


def is_public(address: str) -> bool:
    """Tells whether an IP address is public; what is not an address as resolvers write it is not.

    An IPv6 address is public in the range that is given out (2000::/3), without its special parts. One that stands
    for an IPv4 address is judged by that where the system or a network's gateway translates it (RFC 4291, 6052).
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else None)
        if inner is None:
            return ip in GLOBAL_UNICAST and not any(ip in network for network in SPECIAL_IPV6) and not _is_isatap(ip)
        ip = inner
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in SPECIAL_IPV4)


def _is_isatap(ip: ipaddress.IPv6Address) -> bool:
    """Tells whether the address embeds an IPv4 address as ISATAP does, to which a router may forward (RFC 5214)."""
    return int(ip) >> 32 & 0xFDFFFFFF == 0x00005EFE


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

    The address of each connection is checked when it is made; a name is checked as a whole before.
    """
    resolver = resolver or DefaultResolver()
    allowed = resolver if allow_private else PublicResolver(resolver)
    connector = TCPConnector(
        resolver=allowed,
        use_dns_cache=False,
        limit=64,
        socket_factory=None if allow_private else _open_public_socket,
        force_close=True,  # what a receiver sends after its answer is never read
    )
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=DELIVERY_TIMEOUT),
        auto_decompress=False,
    )


def _open_public_socket(info: AddrInfoType) -> socket.socket:
    """Opens the socket for a connection, whose address is checked last: no name, spelling or answer gets around it."""
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise PrivateAddressError(str(address[0]), str(address[0]))
    return socket.socket(family, kind, protocol)


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
