"""What was found: a table for the terminal, and a file to attach to a report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from dbt_cloud_emulator.conformance.beliefs import BELIEFS
from dbt_cloud_emulator.conformance.masking import Mask
from dbt_cloud_emulator.conformance.outcome import Outcome, Verdict
from dbt_cloud_emulator.conformance.session import Exchange

FORMAT = 1
MARKS = {Verdict.HELD: "+", Verdict.NOT_HELD: "!", Verdict.SEEN: "?", Verdict.NOT_CHECKED: " "}


def table(outcomes: Sequence[Outcome], mask: Mask) -> str:
    """One line per belief: how it stands, its id, its sentence, and what was seen where that matters."""
    width = max(len(outcome.belief.id) for outcome in outcomes)
    lines = []
    for outcome in outcomes:
        lines.append(f"{MARKS[outcome.verdict]} {outcome.belief.id:<{width}}  {outcome.belief.says}")
        if outcome.verdict is not Verdict.HELD:
            lines.append(f"  {'':<{width}}  {_label(outcome)}: {mask.text(outcome.seen)}")
    counts = Counter(outcome.verdict for outcome in outcomes)
    lines.append("")
    lines.append(
        ", ".join(f"{MARKS[verdict].strip() or '(blank)'} {verdict.value}: {counts[verdict]}" for verdict in Verdict)
    )
    return "\n".join(lines)


def _label(outcome: Outcome) -> str:
    if outcome.verdict is Verdict.SEEN:
        return "seen, as believed" if outcome.is_as_believed else "seen, NOT as believed"
    return str(outcome.verdict.value)


def document(outcomes: Sequence[Outcome], exchanges: Sequence[Exchange], mask: Mask, now: datetime) -> dict[str, Any]:
    """The file's content: every belief with what became of it, and every request with its answer."""
    return {
        "format": FORMAT,
        "made_at": now.isoformat(timespec="seconds"),
        "counts": {verdict.value: sum(outcome.verdict is verdict for outcome in outcomes) for verdict in Verdict},
        "beliefs": [
            {
                "id": outcome.belief.id,
                "says": outcome.belief.says,
                "source": outcome.belief.source,
                "sureness": outcome.belief.sureness,
                "verdict": outcome.verdict.value,
                "as_believed": outcome.is_as_believed,
                "seen": mask.text(outcome.seen),
            }
            for outcome in outcomes
        ],
        "exchanges": [mask.exchange(exchange) for exchange in exchanges],
    }


def write(content: dict[str, Any], file: Path) -> None:
    """Write the file. Raises OSError."""
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def listing() -> str:
    """All beliefs, for `--list`."""
    width = max(map(len, BELIEFS))
    return "\n".join(
        f"{belief.id:<{width}}  {belief.says}  [{belief.sureness}; {belief.source}]" for belief in BELIEFS.values()
    )
