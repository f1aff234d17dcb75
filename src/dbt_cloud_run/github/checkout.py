"""Which repository the dbt project lies in: where its root is, where it is on the web, and whether it is our own.

`actions/checkout` with `path:` puts a repository below the workspace, and with `repository:` another one than the
workflow's. Git's own configuration says which; no program is started, and no credentials are taken from it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import quote, urlsplit

_LARGEST: Final = 1024 * 1024  # bytes of Git's configuration
_MOST_FOLDERS: Final = 20_000
_DEEPEST: Final = 8
_PROJECT_FILES: Final = frozenset({"dbt_project.yml", "dbt_project.yaml"})
# Packages bring projects of their own, and what is built or installed is no source.
_PASSED_OVER: Final = frozenset({"dbt_packages", "dbt_modules", "node_modules", "target", "venv", "site-packages"})
_SECTION = re.compile(r'\[\s*remote\s+"(?P<name>(?:[^"\\]|\\.)*)"\s*\]', re.IGNORECASE)
_URL = re.compile(r"\s*url\s*=\s*(?P<url>.*?)\s*", re.IGNORECASE)
_SCP = re.compile(r"(?:[^@/:]+@)?(?P<host>[A-Za-z0-9.-]+):(?P<path>[^/].*|/[^/].*)")
_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """The repository of a dbt project. Files are annotated and linked by their path below `root`."""

    root: Path  # a real path, in the workspace or the workspace itself
    directory: str  # of the project, relative to `root`
    web_url: str | None  # such as https://github.com/owner/name; None where it is not known
    is_own: bool  # whether it is the workflow's own repository, whose files can be annotated


def checkout_of(workspace: Path, project_directory: str, *, server_url: str, repository: str) -> Checkout:
    """The repository that a folder of the workspace belongs to: that of the nearest `.git` above it.

    Without one the workspace is taken for the workflow's own repository: actions/checkout downloads an archive where
    there is no git. Never raises.
    """
    top = Path(os.path.realpath(workspace))
    project = Path(os.path.realpath(top / project_directory))
    own = f"{server_url.rstrip('/')}/{repository}" if repository else None
    root = _root(project, top)
    if root is None:
        inside = project.relative_to(top) if project.is_relative_to(top) else PurePosixPath(project_directory)
        return Checkout(root=top, directory=inside.as_posix(), web_url=own, is_own=True)
    found = _page(_origin(root, top) or "", server_url)
    is_own = root == top if found is None else own is not None and _place(found) == _place(own)
    return Checkout(
        root=root,
        directory=project.relative_to(root).as_posix(),
        web_url=own if is_own else found,
        is_own=is_own,
    )


def web_address(url: str) -> str | None:
    """The page of a repository from the address that Git has of it, without credentials; None for any other address."""
    if "://" in url:
        try:
            parts = urlsplit(url)
            host, port, path = (parts.hostname or "").lower(), parts.port, parts.path
        except ValueError:
            return None
        if parts.scheme not in ("https", "http", "ssh", "git"):
            return None
        # The port of ssh is none of the web's.
        port = port if parts.scheme in ("https", "http") else None
    elif match := _SCP.fullmatch(url):
        host, port, path = match["host"].lower(), None, match["path"]
    else:
        return None
    scheme = "http" if url.lower().startswith("http://") else "https"
    host = "github.com" if host == "ssh.github.com" else host
    names = [name for name in path.removesuffix("/").removesuffix(".git").split("/") if name]
    if not _HOST.fullmatch(host) or len(names) < 2 or any(name in (".", "..") for name in names):
        return None
    return f"{scheme}://{host}{'' if port is None else f':{port}'}/{quote('/'.join(names))}"


def _page(origin: str, server_url: str) -> str | None:
    """The page of `origin`. An address of ssh says nothing of the web: there the server's own address does."""
    found = web_address(origin)
    if found is None or origin.lower().startswith(("https://", "http://")):
        return found
    try:
        page, server = urlsplit(found), urlsplit(server_url)
    except ValueError:
        return found
    return f"{server_url.rstrip('/')}{page.path}" if page.hostname == server.hostname else found


def _place(page: str) -> str:
    """What two addresses of one repository have in common: neither the scheme, nor its port, nor upper case."""
    scheme, _, rest = page.lower().partition("://")
    host, _, path = rest.partition("/")
    return f"{host.removesuffix(':443' if scheme == 'https' else ':80')}/{path}"


def find_projects(root: Path) -> tuple[str, ...] | None:
    """The folders with a dbt_project.yml, relative to `root`; None where there are too many to look through."""
    found: list[str] = []
    for number, (folder, names) in enumerate(_folders(root)):
        if number >= _MOST_FOLDERS:
            return None
        if not _PROJECT_FILES.isdisjoint(names):
            found.append(Path(folder).relative_to(root).as_posix())
    return tuple(sorted(found))


def locate_project(workspace: Path, given: str | None) -> tuple[str, str]:
    """The project's folder in the workspace, and a line for the log, or none.

    `given` is the input, None where it is not given. Then the project is looked for, and taken where there is one.
    """
    if given is not None:
        return given, ""
    if any((workspace / name).is_file() for name in _PROJECT_FILES):
        return ".", ""
    projects = find_projects(workspace)
    if projects is None:
        return ".", "The workspace has too many folders to look for dbt_project.yml: set project-directory."
    if len(projects) == 1:
        return projects[0], f"The dbt project was found in {projects[0]}."
    if not projects:
        return ".", ""
    listed = ", ".join(projects[:10]) + (f" and {len(projects) - 10} more" if len(projects) > 10 else "")
    return ".", (
        f"There are {len(projects)} dbt projects in the workspace: set project-directory to the folder of this job's, "
        f"for links and annotations ({listed})."
    )


def _folders(root: Path) -> Iterator[tuple[str, list[str]]]:
    depth = len(root.parts)
    for folder, below, files in os.walk(root):
        if len(Path(folder).parts) - depth >= _DEEPEST:
            below.clear()
        below[:] = sorted(name for name in below if name not in _PASSED_OVER and not name.startswith("."))
        yield folder, files


def _root(project: Path, top: Path) -> Path | None:
    for folder in (project, *project.parents):
        if not folder.is_relative_to(top):
            return None
        if os.path.lexists(folder / ".git"):
            return folder
    return None


def _origin(root: Path, top: Path) -> str | None:
    """The address of `origin`, or of the only remote; None where Git's files are elsewhere or not as they should be."""
    try:
        git = _inside(root / ".git", top)
        if git.is_file():
            # Of a submodule or another working tree: the file says where the folder is.
            words = git.read_text(encoding="utf-8").strip()
            git = _inside(root / words.removeprefix("gitdir:").strip(), top)
        common = git / "commondir"
        if common.is_file():
            git = _inside(git / common.read_text(encoding="utf-8").strip(), top)
        config = git / "config"
        if config.stat().st_size > _LARGEST:
            return None
        remotes = _remotes(config.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return None
    return remotes.get("origin") or (next(iter(remotes.values())) if len(remotes) == 1 else None)


def _inside(path: Path, top: Path) -> Path:
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(top):
        raise ValueError("it leads out of the workspace")
    return real


def _remotes(config: str) -> dict[str, str]:
    found: dict[str, str] = {}
    name: str | None = None
    for line in config.splitlines():
        if line.lstrip().startswith("["):
            section = _SECTION.match(line.strip())
            name = section["name"] if section else None
        elif name is not None and (match := _URL.fullmatch(line)):
            found.setdefault(name, match["url"].strip('"'))
    return found
