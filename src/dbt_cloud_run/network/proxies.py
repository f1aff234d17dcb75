"""The proxy that a host is reached through, by the variables that curl and Go know. No message quotes its address.

A value that cannot be used is an error only where it is needed: not for a host that NO_PROXY names.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import unquote, urlsplit

import httpx

from dbt_cloud_run.errors import ConfigError
from dbt_cloud_run.redaction import hide

_logger = logging.getLogger(__name__)

_PORTS: Final = {"http": 80, "https": 443}
_LABELS = re.compile(r"[a-z0-9*_-]+(\.[a-z0-9*_-]+)*")
_PORT = re.compile(r"(?P<host>[^:]*|\[[^\]]*\]):(?P<port>\d{1,5})")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Exempt:
    """One entry of NO_PROXY: a name with all below it (stars allowed), or a network; at `port`, if one is given."""

    name: str = ""
    network: _Network | None = None
    port: int | None = None

    def covers(self, host: str, port: int | None) -> bool:
        """Whether a host is meant; `host` without brackets, in lower case."""
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            address = _address(host)
            return address is not None and address.version == self.network.version and address in self.network
        if "*" in self.name:
            return fnmatchcase(host, self.name)
        return host == self.name or host.endswith(f".{self.name}")


def exemptions(text: str) -> tuple[Exempt, ...]:
    """The entries of a NO_PROXY, separated by commas or blanks. What is no entry is left out, with a debug line."""
    found: list[Exempt] = []
    for entry in filter(None, re.split(r"[,\s]+", text)):
        if (exempt := _exempt(entry.lower())) is None:
            _logger.debug("NO_PROXY: %s is neither a host nor a network, and is left out", entry)
        else:
            found.append(exempt)
    return tuple(found)


def proxy_for(url: str, environ: Mapping[str, str]) -> httpx.Proxy | None:
    """The proxy for a URL, None for a direct connection.

    The lower-case name of a variable wins, as it does in curl. A password is hidden from then on.

    Raises:
        ConfigError: the variable cannot be used. It is named, and nothing of its value is quoted.
    """
    name, value = _variable_for(url, environ)
    return _proxy(name, value) if name else None


def proxy_variable(url: str, environ: Mapping[str, str]) -> str:
    """The name of the variable that names the proxy for a URL; empty for a direct connection."""
    return _variable_for(url, environ)[0]


def _variable_for(url: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Name and value of the variable that counts for a URL; both empty for a direct connection."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    name, value = _variable(parts.scheme, environ)
    port = parts.port or _PORTS.get(parts.scheme)
    no_proxy = environ.get("no_proxy", "").strip() or environ.get("NO_PROXY", "").strip()
    is_exempt = any(exempt.covers(host, port) for exempt in exemptions(no_proxy)) if value else True
    return ("", "") if is_exempt else (name, value)


def _variable(scheme: str, environ: Mapping[str, str]) -> tuple[str, str]:
    names = [f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"]
    return next(((name, value) for name in names if (value := environ.get(name, "").strip())), ("", ""))


def _proxy(name: str, value: str) -> httpx.Proxy:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname or "", parts.port
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
    except ValueError:
        raise _unreadable(name) from None
    # What follows the first of / # ? is no part of the address: an @ in it says that the password goes on there.
    if not host or "@" in f"{parts.path}{parts.query}{parts.fragment}" or port == 0:
        raise _unreadable(name)
    scheme = parts.scheme.lower()
    if scheme.startswith("socks"):
        raise ConfigError(
            f"{name} names a SOCKS proxy, which this action cannot use.",
            f"Set {name} to an HTTP proxy, such as http://proxy.example.com:3128, in the environment of this step or "
            "of the runner, or name the host in NO_PROXY there, where it can be reached without a proxy.",
        )
    if scheme not in _PORTS:
        raise _unreadable(name)
    hide(password)
    shown = f"[{host}]" if ":" in host else host
    try:
        auth = (user, password) if user or password else None
        return httpx.Proxy(f"{scheme}://{shown}{'' if port is None else f':{port}'}", auth=auth)
    except (httpx.InvalidURL, ValueError):
        raise _unreadable(name) from None


def _unreadable(name: str) -> ConfigError:
    return ConfigError(
        f"{name} is not the address of a proxy.",
        "It must have the form http://proxy.example.com:3128 or http://user:password@proxy.example.com:3128, and "
        "characters such as / # ? @ in a user name or a password must be percent-encoded (%2F %23 %3F %40).",
    )


def _exempt(entry: str) -> Exempt | None:
    entry = entry.partition("://")[2] or entry
    port = None
    # An IPv6 address without brackets has colons of its own.
    if _address(entry) is None and (match := _PORT.fullmatch(entry)):
        entry, port = match["host"], int(match["port"])
    address, slash, bits = entry.partition("/")
    address = address.removeprefix("[").removesuffix("]").partition("%")[0]
    if address.endswith("]") or (slash and not bits):
        return None
    try:
        return Exempt(network=ipaddress.ip_network(f"{address}{slash}{bits.rstrip(']')}", strict=False), port=port)
    except ValueError:
        pass
    name = entry.rstrip(".")
    # `.example.com`, `*.example.com` and `example.com` mean the same: the name and all below it.
    below = name.removeprefix("*.").removeprefix(".")
    name = below if below and "*" not in below else name
    return Exempt(name=name, port=port) if _LABELS.fullmatch(name) else None


def _address(host: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]").partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
