"""Send the materializations to every sink that was asked for. None of them changes the verdict."""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Mapping, Sequence

from dbt_cloud_run.clock import Clock
from dbt_cloud_run.emit.emission import Emission
from dbt_cloud_run.emit.sink import NotSentError, Progress
from dbt_cloud_run.errors import ActionError, Interrupted

_logger = logging.getLogger(__name__)

BUDGET = 60.0
"""Seconds for all sinks together: each has all of them, since they work at the same time."""


async def emit(
    names: Sequence[str], emission: Emission, environ: Mapping[str, str], clock: Clock, *, budget: float = BUDGET
) -> list[str]:
    """Send `emission` to the sinks with these names; returns one warning for each that failed. Raises `Interrupted`."""
    said = await asyncio.gather(*(_send(name, emission, environ, clock, budget) for name in names))
    return [warning for warning in said if warning]


async def _send(name: str, emission: Emission, environ: Mapping[str, str], clock: Clock, budget: float) -> str:
    """The warning, if there is one to give."""
    progress = Progress()
    try:
        async with asyncio.timeout(budget):
            sink = await asyncio.to_thread(importlib.import_module, f"dbt_cloud_run.emit.{name}")
            await sink.send(emission, environ, clock, progress)
    except Interrupted:
        raise
    except TimeoutError:
        why = f"It took longer than {budget:.0f} s."
    except NotSentError as error:
        why = str(error)
    except ActionError as error:
        why = str(error)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
    else:
        _logger.info("emit: sent %d events to %s.", progress.sent, progress.place or name)
        return ""
    return f"emit: {name}: {progress if progress.sent else 'no event was sent'}. {why}"
