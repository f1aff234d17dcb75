"""The certificates by which hosts are verified. Reading some hundred of them takes a while, so it begins early."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from pathlib import Path

import certifi

_CA_FILES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class _Reading(threading.Thread):
    """One reading, beside whatever else is done meanwhile."""

    def __init__(self, named: tuple[str, str] | None) -> None:
        super().__init__(daemon=True)
        self.named = named
        self.context: ssl.SSLContext | None = None

    def run(self) -> None:
        try:
            self.context = _read(self.named)
        except OSError:
            self.context = None  # it is read again where somebody hears what is wrong


_ahead: list[_Reading] = []


def read_ahead(environ: Mapping[str, str]) -> None:
    """Begin to read the certificates; `tls_context` then waits for that."""
    _ahead.append(_Reading(_named(environ)))
    _ahead[-1].start()


def tls_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Always verifying: by the CA bundle that `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE` or the like names, or the public.

    Raises `ConfigError` if the file cannot be used.
    """
    named = _named(environ)
    if _ahead and _ahead[-1].named == named:
        reading = _ahead.pop()  # one context for one session
        reading.join()
        if reading.context is not None:
            return reading.context
    try:
        return _read(named)
    except OSError as error:  # ssl.SSLError is one, too
        from dbt_cloud_run.errors import ConfigError

        name, value = named or ("certifi", certifi.where())
        raise ConfigError(
            f"{name} names {value}, which cannot be used as a CA bundle ({error.strerror or error}).",
            "Give the path of a PEM file as the container sees it, or unset the variable.",
        ) from error


def _named(environ: Mapping[str, str]) -> tuple[str, str] | None:
    return next(((name, environ[name]) for name in (*_CA_FILES, "SSL_CERT_DIR") if environ.get(name)), None)


def _read(named: tuple[str, str] | None) -> ssl.SSLContext:
    if named is None:
        return ssl.create_default_context(cafile=certifi.where())
    if Path(named[1]).is_dir():
        return ssl.create_default_context(capath=named[1])
    return ssl.create_default_context(cafile=named[1])
