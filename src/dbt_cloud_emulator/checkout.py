"""The project of a run: a git repository at a commit, or a folder at a content."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dbt_cloud_emulator.config import EnvironmentConfig, ProjectConfig
from dbt_cloud_emulator.store import Trigger

IGNORED = shutil.ignore_patterns(
    ".git", "target", "dbt_packages", "logs", "__pycache__", ".venv", "*.duckdb", "*.duckdb.wal"
)
PARSED = Path("target", "partial_parse.msgpack")


class CheckoutError(Exception):
    """The project is not there at the wanted commit; the message is for the step's log."""


class Workspaces:
    """Folders for checkouts. They are used again, since dbt's partial parsing wants a project to stay where it was."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._busy: set[Path] = set()

    @contextlib.contextmanager
    def borrow(self, environment_id: int) -> Iterator[Path]:
        """A path at which nothing is; what has been put there is removed in the end."""
        paths = (self._root / f"{environment_id}-{number}" for number in itertools.count(1))
        path = next(path for path in paths if path not in self._busy)
        self._busy.add(path)
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            self._busy.discard(path)

    @staticmethod
    def restore_parse(workspace: Path, project: Path) -> None:
        """Give a checkout what dbt remembered of the project when it was last parsed at this path."""
        kept = workspace.with_suffix(PARSED.suffix)
        if kept.is_file():
            (project / PARSED).parent.mkdir(exist_ok=True)
            shutil.copyfile(kept, project / PARSED)

    @staticmethod
    def keep_parse(workspace: Path, project: Path) -> None:
        if (project / PARSED).is_file():
            (project / PARSED).replace(workspace.with_suffix(PARSED.suffix))


@dataclass(frozen=True, slots=True)
class Checkout:
    """Where the dbt project lies, and what it is."""

    folder: Path
    git_sha: str
    git_branch: str
    log: str


async def check_out(
    project: ProjectConfig, environment: EnvironmentConfig, trigger: Trigger, workspace: Path, snapshots: Path
) -> Checkout:
    """Fill `workspace`. A folder without git has a sha made from its content, and each content that a run has seen
    is kept in `snapshots` under its sha, so that a later run can be pinned to it. A sha that names no snapshot stands
    for the content that the folder has when it is first asked for. Raises CheckoutError.
    """
    repository = project.repository
    if repository is None and project.path is not None and (project.path / ".git").exists():
        repository = str(project.path)
    if repository is not None:
        found = await _clone(repository, environment, trigger, workspace)
    else:
        found = await asyncio.to_thread(_copy, project, environment, trigger, workspace, snapshots)
    folder = workspace / project.subdirectory
    if not (folder / "dbt_project.yml").is_file():
        raise CheckoutError(
            f"{found.log}No dbt_project.yml in {project.subdirectory or 'the root'} of the repository.\n"
        )
    return Checkout(folder, found.git_sha, found.git_branch, found.log)


async def _clone(repository: str, environment: EnvironmentConfig, trigger: Trigger, workspace: Path) -> Checkout:
    log: list[str] = []

    async def git(*arguments: str, cwd: Path | None = None) -> str:
        env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
        }
        process = await asyncio.create_subprocess_exec(
            "git", *arguments, cwd=cwd, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        log.append(f"$ git {' '.join(arguments[:1])}\n{err.decode(errors='replace')}")
        if process.returncode:
            raise CheckoutError("".join(log))
        return out.decode(errors="replace").strip()

    await git("clone", "--quiet", "--no-checkout", "--", repository, str(workspace))
    branch = trigger.git_branch or environment.branch
    if branch is None:
        branch = (await git("symbolic-ref", "--short", "refs/remotes/origin/HEAD", cwd=workspace)).removeprefix(
            "origin/"
        )
    wanted = f"{trigger.git_sha}^{{commit}}" if trigger.git_sha else f"refs/remotes/origin/{branch}"
    sha = await git("rev-parse", "--verify", "--end-of-options", wanted, cwd=workspace)
    await git("checkout", "--quiet", "--detach", sha, cwd=workspace)
    return Checkout(workspace, sha, branch, "".join(log) + f"HEAD is now at {sha}\n")


def _copy(
    project: ProjectConfig, environment: EnvironmentConfig, trigger: Trigger, workspace: Path, snapshots: Path
) -> Checkout:
    assert project.path is not None  # noqa: S101 -- the configuration gave it one
    wanted = trigger.git_sha
    if wanted is not None and (not wanted.isalnum() or len(wanted) > 64):
        raise CheckoutError(f"fatal: reference is not a tree: {wanted!r}\n")
    if wanted is None or not (snapshots / wanted).is_dir():
        partial = workspace.with_name(workspace.name + ".part")
        shutil.copytree(project.path, partial, ignore=IGNORED)
        wanted = wanted or _content_sha(partial)
        snapshots.mkdir(parents=True, exist_ok=True)
        try:
            partial.rename(snapshots / wanted)
        except OSError:  # another run was faster
            shutil.rmtree(partial)
    shutil.copytree(snapshots / wanted, workspace)
    branch = trigger.git_branch or environment.branch or "main"
    return Checkout(workspace, wanted, branch, f"Copied the project's folder; its content is {wanted}\n")


def _content_sha(folder: Path) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
