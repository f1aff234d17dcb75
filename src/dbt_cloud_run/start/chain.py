"""The attempts before: which runs this step has started in earlier attempts of the workflow run. Pure.

A run belongs to this step if its tag has this step's key. A retry belongs to its chain by the root in its tag, or by
`retrying_run_id` where dbt Cloud made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbt_cloud_run.model import RunState
from dbt_cloud_run.start.tag import RunKey, Tag, parse_tag

if TYPE_CHECKING:
    from dbt_cloud_run.cloud.models import Run


@dataclass(frozen=True, slots=True)
class Chain:
    """A run and its retries, oldest first. `root_id` is the first run, which may be too old to be among them."""

    root_id: int
    runs: tuple[Run, ...]

    @property
    def last(self) -> Run:
        return self.runs[-1]

    @property
    def is_partial(self) -> bool:
        """Whether its last run did not include everything that had failed before it."""
        is_partial = False
        for run in self.runs:
            is_partial = is_partial_after(run, is_partial)
        return is_partial

    @property
    def needs_retry(self) -> bool:
        """Whether it has ended, and not well. A run that was cancelled by another person is left at that."""
        last = self.last
        cancellation = last.cancellation
        if not last.state.is_terminal or last.superseded or (cancellation and cancellation.is_by_another):
            return False
        return last.state is not RunState.SUCCESS or self.is_partial


class AmbiguousChainError(Exception):
    """More than one chain has this step's key, and it cannot be told which one is its own."""


def tag_of(run: Run) -> Tag | None:
    """The tag in a run's cause; None where the run has no trigger or no tag of this program."""
    return parse_tag(run.trigger.cause if run.trigger else None)


def is_partial_after(run: Run, is_partial: bool) -> bool:
    """Whether a run did not include everything that had failed before it; `is_partial` is that of the run before it.

    dbt Cloud's own retry takes all that the run before it was asked for, and no more.
    """
    if run.retrying_run_id is not None:
        return is_partial
    tag = tag_of(run)
    return tag is not None and tag.is_partial


def find_chain(runs: Sequence[Run], key: RunKey, run_attempt: int) -> Chain | None:
    """The newest chain that this step started before attempt `run_attempt` of the workflow run.

    Raises `AmbiguousChainError` where two steps share the key, as two jobs of a matrix do whose index is not known.
    """
    chains = _chains(runs, key)
    if not chains:
        return None
    tags = [tag for chain in chains.values() for run in chain if (tag := tag_of(run)) and tag.key == key]
    if any(tag.attempt >= run_attempt for tag in tags):
        raise AmbiguousChainError
    started_in = {root: min(tag.attempt for run in chain if (tag := tag_of(run))) for root, chain in chains.items()}
    newest = [root for root, attempt in started_in.items() if attempt == max(started_in.values())]
    if len(newest) > 1:
        raise AmbiguousChainError
    return Chain(newest[0], tuple(chains[newest[0]]))


def chain_of(root: Run, runs: Sequence[Run], key: RunKey, run_attempt: int) -> Chain:
    """A run that this step did not start, and the retries that this step has made of it, oldest first."""
    try:
        found = find_chain([run for run in runs if run.id != root.id], key, run_attempt)
    except AmbiguousChainError:
        found = None
    retries = found.runs if found is not None and found.root_id == root.id else ()
    return Chain(root.id, (root, *retries))


def _chains(runs: Sequence[Run], key: RunKey) -> dict[int, list[Run]]:
    """The chains with this key by their root's id, each oldest first."""
    chains: dict[int, list[Run]] = {}
    root_of: dict[int, int] = {}
    nonces: set[str] = set()
    for run in sorted(runs, key=lambda run: run.id):
        tag = tag_of(run)
        if run.retrying_run_id is not None:
            # dbt Cloud's own retry may carry the cause, and so the tag, of the run that it retries.
            root = root_of.get(run.retrying_run_id)
        elif tag is None or tag.key != key or tag.nonce in nonces:
            # Not of this step, or a late duplicate.
            root = None
        else:
            root = tag.root or run.id
            nonces.add(tag.nonce)
        if root is not None:
            root_of[run.id] = root
            chains.setdefault(root, []).append(run)
    return chains
