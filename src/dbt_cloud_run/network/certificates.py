"""The certificates that hosts are verified by. Reading some hundred of them takes a while, so it begins early."""

from __future__ import annotations

import logging
import os
import re
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import certifi

from dbt_cloud_run.network.records import Records

_logger = logging.getLogger(__name__)

CA_FILES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
CA_FOLDERS: Final = ("SSL_CERT_DIR",)
CA_ONLY: Final = "DBT_CLOUD_RUN_CA_ONLY"
_PEM = re.compile(rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----")


class UnusableAuthorityError(OSError):
    """A certificate authority that the environment names cannot be used; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Authorities:
    """The variables that name certificate authorities, with what they name; and whether these are the only ones."""

    named: tuple[tuple[str, str], ...] = ()
    only: bool = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Authorities:
        """Read the variables. All that are set count, whichever program they are known from."""
        named = tuple((name, text) for name in (*CA_FILES, *CA_FOLDERS) if (text := environ.get(name, "").strip()))
        word = environ.get(CA_ONLY, "").strip().lower()
        if word not in ("", "true", "false"):
            raise UnusableAuthorityError(f"{CA_ONLY} must be true or false.")
        if word == "true" and not named:
            raise UnusableAuthorityError(
                f"{CA_ONLY} is true, but none of {', '.join((*CA_FILES, *CA_FOLDERS))} is set."
            )
        return cls(named, word == "true")

    def files(self) -> list[Path]:
        """The files that hold the certificates, the public authorities' first. Raises `UnusableAuthorityError`."""
        found = [] if self.only else [Path(certifi.where())]
        for name, text in self.named:
            found += _in_folders(name, text) if name in CA_FOLDERS or Path(text).is_dir() else [_file(name, text)]
        return list(dict.fromkeys(found))

    def __str__(self) -> str:
        besides = "" if self.only else "the public ones"
        return ", ".join(filter(None, (besides, *(f"{name} ({text})" for name, text in self.named))))


def _file(name: str, text: str) -> Path:
    path = Path(text)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnusableAuthorityError(f"{name} names {text}, which cannot be read ({error.strerror}).") from error
    if not _PEM.search(content):
        raise UnusableAuthorityError(f"{name} names {text}, which contains no certificate in PEM form.")
    return path


def _in_folders(name: str, text: str) -> list[Path]:
    """Every file with a certificate in the folders, which OpenSSL separates by colons; their names do not matter."""
    found: list[Path] = []
    for folder in filter(None, text.split(os.pathsep)):
        try:
            files = sorted(path for path in Path(folder).iterdir() if path.is_file())
            found += [path for path in files if _PEM.search(path.read_bytes())]
        except OSError as error:
            raise UnusableAuthorityError(f"{name} names {folder}, which cannot be read ({error.strerror}).") from error
    if not found:
        raise UnusableAuthorityError(f"{name} names {text}, where no file contains a certificate in PEM form.")
    return found


class _Reading(threading.Thread):
    """One reading, beside whatever else is done meanwhile."""

    def __init__(self, authorities: Authorities) -> None:
        super().__init__(daemon=True)
        self.authorities = authorities
        self.context: ssl.SSLContext | None = None

    def run(self) -> None:
        try:
            self.context = _read(self.authorities)
        except OSError:
            # It is read again by `tls_context`, which reports the error.
            self.context = None


_ahead: list[_Reading] = []


def read_ahead(environ: Mapping[str, str]) -> None:
    """Begin to read the certificates; `tls_context` then waits for that."""
    try:
        _ahead.append(_Reading(Authorities.from_environ(environ)))
    except OSError:
        return
    _ahead[-1].start()


def tls_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """A context that always verifies, by the public authorities and those that the environment names.

    Raises `ConfigError` if one that is named cannot be used.
    """
    try:
        authorities = Authorities.from_environ(environ)
        if authorities.named:
            _logger.debug("Certificate authorities: %s", authorities)
        if _ahead and _ahead[-1].authorities == authorities:
            # One context for one session.
            reading = _ahead.pop()
            reading.join()
            if reading.context is not None:
                return reading.context
        return _read(authorities)
    except OSError as error:
        raise _unusable(error) from error


def ca_bundle(environ: Mapping[str, str]) -> bytes | None:
    """The certificates of `tls_context` in one PEM file, for a library that takes a file; None for the public ones.

    Raises `ConfigError` as `tls_context` does.
    """
    try:
        authorities = Authorities.from_environ(environ)
        if not authorities.named:
            return None
        return b"\n".join(path.read_bytes() for path in authorities.files())
    except OSError as error:
        raise _unusable(error) from error


def _unusable(error: OSError) -> Exception:
    from dbt_cloud_run.errors import ConfigError

    # ssl.SSLError is an OSError, too: a file of the right form whose content is damaged.
    message = str(error) if isinstance(error, UnusableAuthorityError) else f"A certificate cannot be read: {error}."
    return ConfigError(message, "Give the path of a PEM file as the container sees it, or unset the variable.")


def _read(authorities: Authorities) -> ssl.SSLContext:
    first, *others = authorities.files()
    context = _loaded(authorities, first, None)
    for path in others:
        _loaded(authorities, path, context)
    return context


def _loaded(authorities: Authorities, path: Path, context: ssl.SSLContext | None) -> ssl.SSLContext:
    try:
        if context is None:
            context = ssl.create_default_context(cafile=str(path))
            context.sslobject_class = Records
            return context
        context.load_verify_locations(cafile=str(path))
    except ssl.SSLError as error:
        names = [name for name, text in authorities.named if path.is_relative_to(text)]
        message = f"{' and '.join(names) or 'certifi'} names {path}, which cannot be used as a CA bundle"
        raise UnusableAuthorityError(f"{message} ({error.reason or error}).") from error
    return context
