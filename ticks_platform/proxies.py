"""HTTP proxies that the environment names (`http_proxy`, `https_proxy`, `no_proxy`). Loopback is dialled directly."""

from __future__ import annotations

import ipaddress
import urllib.request
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

_SCHEMES = {"ws": "http", "wss": "https"}
_PORTS = {"https": 443, "socks5": 1080, "socks5h": 1080, "socks4": 1080, "socks4a": 1080}


class Proxy(NamedTuple):
    """A proxy. Its credentials are a secret; `address` may be shown."""

    kind: str
    """``http``, or a kind of SOCKS."""
    host: str
    port: int
    credentials: tuple[str, str] | None

    @property
    def address(self) -> str:
        """Host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether a host name is this machine's own."""
    name = host.lower().rstrip(".").strip("[]")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    if address is None:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or mapped.is_unspecified


def proxy_for(url: str) -> Proxy | None:
    """The proxy for a URL of http, https, ws or wss; None if it is dialled directly. Raises nothing."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        named = urllib.request.getproxies_environment()
        scheme = _SCHEMES.get(parts.scheme, parts.scheme)
        given = named.get(scheme)
        if not given or is_loopback(host) or _is_excepted(host, parts.port, named.get("no", "")):
            return None
        proxy = urlsplit(given if "://" in given else f"http://{given}")
        if not proxy.hostname:
            return None
        credentials = (unquote(proxy.username), unquote(proxy.password or "")) if proxy.username else None
        kind = proxy.scheme if proxy.scheme.startswith("socks") else "http"
        return Proxy(kind, proxy.hostname, proxy.port or _PORTS.get(proxy.scheme, 80), credentials)
    except ValueError:
        return None


def through(url: str) -> str:
    """The proxy of a URL, for the end of an error message: empty if there is none."""
    proxy = proxy_for(url)
    return f" (through the proxy {proxy.address}, which the environment names)" if proxy is not None else ""


def _is_excepted(host: str, port: int | None, exceptions: str) -> bool:
    """Whether `no_proxy` names a host: by its name, a domain, an address or a network such as 10.0.0.0/8."""
    address = _address(host)
    for part in exceptions.lower().split(","):
        name = part.strip().removesuffix(f":{port}").lstrip(".")
        if name == "*" or (name and (host == name or host.endswith(f".{name}"))):
            return True
        if address is not None and _contains(name, address):
            return True
    return False


def _contains(network: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
