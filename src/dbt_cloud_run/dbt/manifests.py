"""The manifests of a run: each step parses the project by itself, so its own is the truth for its results. Pure.

With other `--vars`, a step may enable other models than the step before it, or give them other names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dbt_cloud_run.dbt.artifacts import Manifest

Place = tuple[int, int]
"""A run's id, and the index of one of its steps."""


@dataclass(frozen=True, slots=True)
class Manifests:
    """The manifests that are known: the newest, and those of single steps."""

    newest: Manifest | None = None
    by_step: Mapping[Place, Manifest] = field(default_factory=dict)

    def of(self, run_id: int, step_index: int) -> Manifest | None:
        """The manifest for the results of this step: its own, or else the newest."""
        return self.by_step.get((run_id, step_index), self.newest)

    def of_run(self, run_id: int) -> dict[int, Manifest]:
        """The manifests of single steps of a run, by index."""
        return {index: manifest for (run, index), manifest in self.by_step.items() if run == run_id}

    def with_run(self, run_id: int, newest: Manifest | None, by_step: Mapping[int, Manifest]) -> Manifests:
        """These and those of one more run. What is the newest stays so where this run made none."""
        added = {(run_id, index): manifest for index, manifest in by_step.items()}
        return Manifests(newest or self.newest, {**self.by_step, **added})


def share(manifest: Manifest, known: Manifest) -> None:
    """Replace the parts of a manifest that are equal to those of another by these, so that memory holds them once.

    Whole files are never equal: each names its own invocation.
    """
    for name in manifest.__struct_fields__:
        mine, theirs = getattr(manifest, name), getattr(known, name)
        if not isinstance(mine, dict):
            continue
        if mine == theirs:
            setattr(manifest, name, theirs)
            continue
        for key, value in mine.items():
            if (other := theirs.get(key)) == value:
                mine[key] = other
