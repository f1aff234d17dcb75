"""The secrets in the variables that configure the sinks. They are masked before anything else happens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

VARIABLES = ("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "OPENLINEAGE_API_KEY")
_SECRET_KEYS = ("apikey", "token", "secret", "password", "authorization")


def secrets_of_sinks(environ: Mapping[str, str]) -> Iterator[str]:
    """Each secret, as it was written; an empty text for a variable that is not set."""
    for name in VARIABLES:
        yield environ.get(name, "")
    yield from _lineage_secrets(environ)


def _lineage_secrets(environ: Mapping[str, str]) -> Iterator[str]:
    """The secrets in OpenLineage's own variables, whose names are the paths of its configuration.

    Such as `OPENLINEAGE__TRANSPORT__AUTH__APIKEY`, or `OPENLINEAGE__TRANSPORT__AUTH` with an object as JSON.
    """
    for name, text in environ.items():
        if not name.startswith("OPENLINEAGE__"):
            continue
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        # A number is a secret as it was written.
        yield from _secrets_of(name.rpartition("__")[2], text if isinstance(value, int | float) else value)


def _secrets_of(key: str, value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for inner, more in value.items():
            yield from _secrets_of(str(inner), more)
    elif isinstance(value, str) and key.lower().replace("_", "").endswith(_SECRET_KEYS):
        yield value
