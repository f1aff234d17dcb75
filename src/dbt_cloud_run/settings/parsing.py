"""Parsers for the text of one input. Each raises `BadValueError` with what would be right; none quotes the value."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

INT64_MAX = 2**63 - 1
_NUMBER_AS_FLOAT = re.compile(r"[0-9](\.[0-9]+)?[eE]\+?[0-9]+")
_DECIMAL = re.compile(r"[0-9]{1,15}(\.[0-9]{0,15})?|\.[0-9]{1,15}")
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?)*")
_QUOTES = ('""', "''", "``", "\u201c\u201d", "\u2018\u2019", "\u201e\u201c")  # the last ones are typographic
# A list as YAML and JSON write it has brackets and quotes, too.
_BETWEEN_WORDS = re.compile(r"[\s,\[\]\"']+")
_ARTIFACT_NAME_REFUSED = '":<>|*?\r\n\\/'


class BadValueError(ValueError):
    """The value is wrong; the message completes the sentence `<input> …`."""


def shown(value: str, limit: int = 60) -> str:
    """Quote a value for people: shortened, and with nothing in it that a terminal or a log reader acts on."""
    harmless = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in value[: limit + 1])
    return f"'{harmless[:limit]}…'" if len(harmless) > limit or len(value) > limit else f"'{harmless}'"


def _without_quotes(text: str) -> None:
    """Quotes that a shell or YAML would have taken away are still there: a secret was stored with them."""
    if len(text) > 1 and text[0] + text[-1] in _QUOTES:
        raise BadValueError("has quotes around it; store it without them")


def integer(minimum: int = 1, maximum: int = INT64_MAX) -> Callable[[str], int]:
    """A whole number in plain decimal digits."""
    upper = f"to {maximum}" if maximum < INT64_MAX else "upwards"

    def parse(text: str) -> int:
        if text.isascii() and text.isdecimal() and len(text) <= 19 and minimum <= int(text) <= maximum:
            return int(text)
        _without_quotes(text)
        if _NUMBER_AS_FLOAT.fullmatch(text):
            raise BadValueError(
                "must be a whole number; put it in quotes if it is written in YAML, which would round it otherwise"
            )
        raise BadValueError(f"must be a whole number, from {minimum} {upper}, in digits only")

    return parse


def decimal(maximum: float, unit: str, minimum: float = 0) -> Callable[[str], float]:
    """A number of `unit`, fractions allowed; neither exponents nor names such as `inf`."""

    def parse(text: str) -> float:
        if _DECIMAL.fullmatch(text) and minimum <= float(text) <= maximum:
            return float(text)
        raise BadValueError(
            f"must be a number of {unit} from {minimum:g} to {maximum:g}, such as {max(minimum, 1.5):g}"
        )

    return parse


def poll_interval(text: str) -> float | None:
    """Seconds between two looks at the run, or None for `auto`."""
    if text.lower() == "auto":
        return None
    try:
        return decimal(3600, "seconds", minimum=1)(text)
    except BadValueError as error:
        raise BadValueError(f"must be auto, or {str(error).removeprefix('must be ')}") from None


def boolean(text: str) -> bool:
    """YAML 1.2's booleans, in the spellings that GitHub's toolkit takes."""
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    raise BadValueError("must be true or false")


def choice(*words: str) -> Callable[[str], str]:
    """One of these words, in any case."""

    def parse(text: str) -> str:
        if text.lower() in words:
            return text.lower()
        raise BadValueError(f"must be one of {', '.join(words)}")

    return parse


def words(*known: str) -> Callable[[str], tuple[str, ...]]:
    """Any of these words, in any case, separated by commas, blanks or line ends; each once, in the order of `known`."""

    def parse(text: str) -> tuple[str, ...]:
        given = {word.lower() for word in _BETWEEN_WORDS.split(text) if word and word != "-"}
        if not given or not given <= set(known):
            raise BadValueError(f"must be a list of {', '.join(known)}")
        return tuple(word for word in known if word in given)

    return parse


def line(text: str) -> str:
    """Any text of one line."""
    if not text.isprintable():
        raise BadValueError("must be a single line without control characters")
    return text


def free_text(text: str) -> str:
    """Any text; what is not printable, line ends among it, becomes a space."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def lines(text: str) -> tuple[str, ...]:
    """One entry a line; blank lines are dropped."""
    return tuple(line(stripped) for part in text.splitlines() if (stripped := part.strip()))


def artifact_paths(text: str) -> tuple[str, ...]:
    """Paths or globs under dbt's target folder, one per line, each once; `target/` itself may be left out.

    `none` stands for none at all.
    """
    if text.lower() == "none":
        return ()
    parsed = tuple(dict.fromkeys(entry.removeprefix("./").removeprefix("target/") for entry in lines(text)))
    if any(entry.lower() == "none" for entry in parsed):
        raise BadValueError("must be either none or paths, not both")
    if any(not entry or entry.startswith("/") or ".." in entry.split("/") for entry in parsed):
        raise BadValueError(
            "must hold paths inside dbt's target folder, one per line, such as manifest.json, or be none"
        )
    return parsed


def artifact_name(text: str) -> str:
    """A name that GitHub takes for a workflow artifact."""
    if any(c in _ARTIFACT_NAME_REFUSED for c in text) or not text.isprintable() or len(text) > 200:
        raise BadValueError('must be at most 200 characters long and hold none of " : < > | * ? \\ / and no line ends')
    return text


def token(text: str) -> str:
    """A secret that fits into an HTTP header."""
    _without_quotes(text)
    if not text.isascii() or not text.isprintable() or " " in text:
        raise BadValueError("must be the token alone, without spaces, line ends or a word such as Bearer before it")
    return text


def base_url(text: str) -> str:
    """A host name or any address of the account, as `https://host[:port]`; `http://` stays for loopback alone."""
    example = "such as cloud.getdbt.com or ab123.us1.dbt.com"
    scheme, separator, rest = text.partition("://")
    if not separator and text.partition("/")[0].endswith(":"):
        raise BadValueError(f"must have two slashes after https:, or no scheme at all, {example}")
    if not separator:
        scheme, rest = "https", text
    if rest.lstrip("/").partition("/")[0].lower() in ("https:", "http:"):
        raise BadValueError(f"must have https:// once, {example}")
    scheme = scheme.lower()
    if not text.isascii() or not text.isprintable() or "%" in rest.partition("/")[0] or " " in text:
        raise BadValueError(f"must be a host name or an access URL, {example}")
    try:
        parts = urlsplit(f"//{rest.lstrip('/')}")
        host, port, has_user = (parts.hostname or "").rstrip("."), parts.port, "@" in parts.netloc
    except ValueError:
        raise BadValueError(f"must be a host name or an access URL, {example}") from None
    if has_user:
        raise BadValueError("must not hold a user name or a password before an @")
    address = _address(host)
    if scheme not in ("https", "http") or port == 0 or (address is None and not _HOST_NAME.fullmatch(host)):
        raise BadValueError(f"must be a host name or an access URL, {example}")
    if scheme == "http" and not (host == "localhost" or (address and address.is_loopback)):
        raise BadValueError("must begin with https:// (http:// would show the token to the network; only loopback may)")
    netloc = f"[{host}]" if ":" in host else host
    return f"{scheme}://{netloc}" if port is None else f"{scheme}://{netloc}:{port}"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
