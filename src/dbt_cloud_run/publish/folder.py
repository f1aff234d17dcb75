"""The folder in the workspace that receives the files of this step."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dbt_cloud_run.collect.artifact_paths import matches
from dbt_cloud_run.github.files import UnsafePathError, inside_workspace, own_like_workspace, require_inside
from dbt_cloud_run.github.leftovers import DEFAULT_FOLDER, Leftovers, index_of
from dbt_cloud_run.settings.settings import Settings

_logger = logging.getLogger(__name__)

ASSETS, JUNIT, RESULT, SUMMARY = "assets.json", "junit.xml", "result.json", "summary.md"
RUN_RESULTS = "run_results.json"
DBT_FILES = (RUN_RESULTS, "manifest.json", "catalog.json", "sources.json")


@dataclass(frozen=True, slots=True)
class ArtifactsFolder:
    """A real path in a workspace. `there_before` are it and its parents, as far as they existed at first."""

    path: Path
    workspace: Path
    there_before: frozenset[Path]
    # Of the folder that is used where none is named; what a user has named is the user's.
    index: Leftovers | None = None

    def prepare(self) -> None:
        """Remove what other workflow runs left in the default folder. What cannot be done is a debug line."""
        if self.index is None:
            return
        try:
            if removed := self.index.prepare():
                _logger.info("Removed %d files that other workflow runs left in %s.", removed, DEFAULT_FOLDER)
        except (OSError, UnsafePathError) as error:
            _logger.debug("What other workflow runs left could not be removed: %s", error)

    def keep_index(self, files: Iterable[Path]) -> None:
        """Remember the files that this step has written, so that a later workflow run can remove them."""
        if self.index is None:
            return
        try:
            self.index.seal(files)
        except (OSError, UnsafePathError) as error:
            _logger.debug("The index of written files could not be kept: %s", error)

    def file(self, name: str) -> Path:
        """The path of a file to write. Raises `UnsafePathError` where a link would lead it out of the folder."""
        path = self.path / name
        require_inside(self.path, path)
        return path

    def relative(self, path: Path | None = None) -> str:
        """The folder, or a path in it, relative to the workspace."""
        path, root = path or self.path, self.workspace.resolve()
        return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)

    def remove_leftovers(self, patterns: Sequence[str], written: Collection[Path]) -> None:
        """Remove the results that an earlier step left: where this one has none, they would pass for its own.

        Without a result file, no step of this action has written here, and what lies here is the user's.
        """
        if not (self.path / RESULT).is_file():
            return
        for name in (*DBT_FILES, JUNIT):
            path = self.path / name
            is_wanted = name == JUNIT or any(matches(name, pattern) for pattern in patterns)
            if is_wanted and path not in written and path.is_file():
                require_inside(self.path, path)
                path.unlink()

    def hand_over(self, written: Iterable[Path], run_ids: Iterable[int]) -> None:
        """Give what this step wrote, and the folders that it made for it, to the owner of the workspace."""
        if self.path.exists():
            runs = [self.path / "runs" / str(run_id) for run_id in run_ids]
            ours = self.index.files if self.index is not None else ()
            own_like_workspace([*written, self.path / RESULT, *runs, *ours], self.workspace, spare=self.there_before)


def artifacts_folder(settings: Settings, job_id: int | None) -> ArtifactsFolder | None:
    """The folder that the settings name; None, with a warning, where it cannot be used."""
    workspace = settings.github.workspace
    try:
        path = inside_workspace(workspace, settings.artifacts_path or f"dbt-cloud/{job_id or 'unknown'}")
    except (ValueError, OSError) as error:
        _logger.warning("artifacts-path cannot be used, so no files are written there: %s", error)
        return None
    there = frozenset(one for one in (path, *path.parents) if one.exists())
    return ArtifactsFolder(path, workspace, there, index_of(workspace, path, settings.github.run_id))
