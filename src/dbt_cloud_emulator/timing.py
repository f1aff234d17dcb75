"""Times and durations in the forms that the API uses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def utcnow() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)


def timestamp(moment: datetime | None) -> str | None:
    """`2024-05-27 10:42:16.179903+00:00`: a space, and always microseconds."""
    return None if moment is None else moment.astimezone(UTC).isoformat(sep=" ", timespec="microseconds")


def parse_timestamp(text: str) -> datetime:
    """ISO 8601, with a space or a `T`; without an offset it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text.strip().replace(" +", "+"))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def clock_duration(span: timedelta) -> str:
    """`HH:MM:SS`; the hours go beyond 24."""
    seconds = max(int(span.total_seconds()), 0)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def spoken_duration(span: timedelta) -> str:
    """`1 day, 2 hours`, the two largest units; `0 minutes` for nothing."""
    seconds = max(int(span.total_seconds()), 0)
    units = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
    parts: list[str] = []
    for name, size in units:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}" + ("s" if count != 1 else ""))
    return ", ".join(parts[:2]) or "0 minutes"


def spoken_age(moment: datetime | None, now: datetime) -> str | None:
    """`3 minutes ago`."""
    return None if moment is None else f"{spoken_duration(now - moment)} ago"
