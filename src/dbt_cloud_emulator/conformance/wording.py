"""How dbt Cloud words an end or a refusal is worth knowing: words of a list are kept, and all others are not."""

from __future__ import annotations

import re

_KNOWN_WORDS = """
a access account action active actor after again all an and another any api are artifacts as at automatically be
because been before branch build but by can cancel canceled cancelled cannot capacity cause change check clone
cloud command commit complete completed configured connection constraints could credentials data day days dbt
denied deleted did does double due during duration end ended error exceeded execute executed expired fail failed
for forbidden found from generate git had has have heartbeat hour hours idle in inactivity incorrect internal
into invalid is it its job kill latest limit longer lost maximum memory merge message minute minutes missing
more newer next no not of on one only or other out over paid perform permission permissions please plan point
profile project proper provided pull push queue queued recent reached received repository request requested
resource resources results retried retry run runner running runs scheduled second seconds service set since some
stale start started step steps stop stopped success superseded system terminated than that the there this time
timed timeout to token too triggered try unable unauthorized unknown unpaid until up user users verify wait
waited waiting warehouse was were when which while will with without you your
"""
WORDS = frozenset(_KNOWN_WORDS.split())
_TOKEN = re.compile(r"[^\W\d_]+|\d+|\s+|.", re.DOTALL)


def known_words(text: str) -> str:
    """A message with an ellipsis for whatever may be a name, an address or SQL; its first 500 characters."""
    shown = "".join(_shown(token) for token in _TOKEN.findall(text[:500]))
    return re.sub(r"(…\W*)+", "… ", shown).strip()


def _shown(token: str) -> str:
    """A piece of a message: a known word, a small number or punctuation; else an ellipsis."""
    if token.isdigit():
        return token if len(token) < 6 else "…"
    return token if not token.isalpha() or token.lower() in WORDS else "…"
