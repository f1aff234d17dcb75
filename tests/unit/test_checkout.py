"""Which repository a dbt project lies in, read from real working trees of Git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.github.checkout import Checkout, checkout_of, find_projects, locate_project, web_address

SERVER, OWN, OTHER = "https://github.com", "acme/shop", "https://github.com/acme/models"


def git(*words: str, cwd: Path) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *identity, *words], cwd=cwd, check=True, capture_output=True)  # noqa: S603, S607


def repository(folder: Path, origin: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    git("init", "-q", ".", cwd=folder)
    if origin is not None:
        git("remote", "add", "origin", origin, cwd=folder)
    return folder


def found(workspace: Path, directory: str = ".") -> Checkout:
    return checkout_of(workspace, directory, server_url=SERVER, repository=OWN)


@pytest.mark.parametrize(
    "origin",
    [
        "https://github.com/acme/shop",
        "https://github.com/Acme/Shop.git",
        "https://x-access-token:ghs_secret@github.com/acme/shop",
        "git@github.com:acme/shop.git",
        "ssh://git@ssh.github.com:443/acme/shop.git",
    ],
)
@pytest.mark.parametrize("directory", [".", "dbt", "dbt/inner"])
def test_the_workflows_own_repository(tmp_path: Path, origin: str, directory: str) -> None:
    (tmp_path / directory).mkdir(parents=True, exist_ok=True)
    repository(tmp_path, origin)
    assert found(tmp_path, directory) == Checkout(
        root=tmp_path, directory=directory, web_url=f"{SERVER}/{OWN}", is_own=True
    )


def test_another_repository_below_the_workspace(tmp_path: Path) -> None:
    repository(tmp_path, f"{SERVER}/{OWN}")
    root = repository(tmp_path / "models", f"https://x-access-token:ghs_secret@{OTHER.removeprefix('https://')}.git")
    (root / "dbt").mkdir()
    assert found(tmp_path, "models/dbt") == Checkout(root=root, directory="dbt", web_url=OTHER, is_own=False)
    assert found(tmp_path).is_own


def test_our_own_repository_below_the_workspace(tmp_path: Path) -> None:
    root = repository(tmp_path / "source", f"{SERVER}/{OWN}")
    assert found(tmp_path, "source") == Checkout(root=root, directory=".", web_url=f"{SERVER}/{OWN}", is_own=True)


@pytest.mark.parametrize(
    ("server", "origin"),
    [
        ("http://gitea:3000", "http://gitea:3000/acme/shop"),
        ("http://ghes.example.com", "https://ghes.example.com/acme/shop.git"),
        ("https://ghes.example.com", "http://x-access-token:ghs_secret@ghes.example.com:80/Acme/shop"),
        ("https://gitea.example.com:8443", "git@gitea.example.com:acme/shop.git"),
        ("https://gitea.example.com:8443/", "ssh://git@gitea.example.com:2222/acme/shop.git"),
        ("https://example.com/gitea", "https://example.com/gitea/acme/shop.git"),
        ("https://example.com/gitea", "git@example.com:acme/shop.git"),
    ],
)
def test_our_own_repository_on_a_server_without_tls_or_with_a_port(tmp_path: Path, server: str, origin: str) -> None:
    repository(tmp_path, origin)
    own = checkout_of(tmp_path, ".", server_url=server, repository=OWN)
    assert (own.web_url, own.is_own) == (f"{server.rstrip('/')}/{OWN}", True)


@pytest.mark.parametrize(
    ("origin", "page"),
    [
        ("http://gitea:3000/acme/models", "http://gitea:3000/acme/models"),
        ("ssh://git@gitea:2222/acme/models", "http://gitea:3000/acme/models"),
        ("http://gitea:4000/acme/shop", "http://gitea:4000/acme/shop"),
        ("https://github.com/acme/shop", "https://github.com/acme/shop"),
    ],
)
def test_another_repository_beside_our_own_on_such_a_server(tmp_path: Path, origin: str, page: str) -> None:
    repository(tmp_path, origin)
    other = checkout_of(tmp_path, ".", server_url="http://gitea:3000", repository=OWN)
    assert (other.web_url, other.is_own) == (page, False)


@pytest.mark.parametrize("server", ["", "http://[", "nonsense"])
def test_a_server_whose_address_cannot_be_read(tmp_path: Path, server: str) -> None:
    repository(tmp_path, OTHER)
    assert checkout_of(tmp_path, ".", server_url=server, repository=OWN).web_url == OTHER


def test_without_git_the_workspace_is_our_own_repository(tmp_path: Path) -> None:
    (tmp_path / "dbt").mkdir()
    assert found(tmp_path, "dbt") == Checkout(root=tmp_path, directory="dbt", web_url=f"{SERVER}/{OWN}", is_own=True)
    bare = checkout_of(tmp_path, "missing", server_url=SERVER, repository="")
    assert (bare.directory, bare.web_url) == ("missing", None)


def test_a_repository_above_the_workspace_is_none_of_it(tmp_path: Path) -> None:
    repository(tmp_path, OTHER)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    assert found(workspace).web_url == f"{SERVER}/{OWN}"


def test_an_origin_that_says_nothing(tmp_path: Path) -> None:
    """At the root of the workspace it is taken for our own; below it, it is not known, and nothing is linked."""
    repository(tmp_path, "/srv/git/shop.git")
    repository(tmp_path / "below")
    assert found(tmp_path).is_own
    assert (found(tmp_path, "below").web_url, found(tmp_path, "below").is_own) == (None, False)


def test_submodules_and_other_working_trees(tmp_path: Path) -> None:
    inner = repository(tmp_path / "inner", OTHER)
    git("commit", "-q", "--allow-empty", "-m", "one", cwd=inner)
    workspace = repository(tmp_path / "workspace", f"{SERVER}/{OWN}")
    git("submodule", "-q", "add", str(inner), "models", cwd=workspace)
    git("remote", "set-url", "origin", OTHER, cwd=workspace / "models")
    assert found(workspace, "models").web_url == OTHER
    git("commit", "-q", "-m", "one", cwd=workspace)
    git("worktree", "add", "-q", "tree", cwd=workspace)
    assert found(workspace, "tree").web_url == f"{SERVER}/{OWN}"


@pytest.mark.parametrize("pointer", ["gitdir: /etc", "gitdir: ../../..", "nonsense", ""])
def test_a_pointer_out_of_the_workspace_is_not_followed(tmp_path: Path, pointer: str) -> None:
    below = tmp_path / "workspace" / "below"
    below.mkdir(parents=True)
    repository(tmp_path, OTHER)
    (below / ".git").write_text(pointer)
    assert (found(tmp_path / "workspace", "below").web_url, found(tmp_path / "workspace", "below").is_own) == (
        None,
        False,
    )


@pytest.mark.parametrize(
    ("url", "page"),
    [
        (
            "https://user:pa%2Fss@git.example.com:8443/group/sub/name.git/",
            "https://git.example.com:8443/group/sub/name",
        ),
        ("git@gitlab.com:group/sub/name", "https://gitlab.com/group/sub/name"),
        ("gitlab.com:/group/name.git", "https://gitlab.com/group/name"),
        ("ssh://git@git.example.com:2222/a/b", "https://git.example.com/a/b"),
        ("https://github.com/a/b c\"d'", "https://github.com/a/b%20c%22d%27"),
        ("https://github.com/a", None),
        ("https://github.com/../../a", None),
        ("file:///srv/git/a/b", None),
        ("/srv/git/a/b", None),
        ("../a/b", None),
        ("https://[::1/a/b", None),
        ("https://exa mple.com/a/b", None),
        ("", None),
    ],
)
def test_the_page_of_an_address(url: str, page: str | None) -> None:
    assert web_address(url) == page


@given(st.text(alphabet="abc:/@.?#% é", max_size=30), st.sampled_from(["https://", "ssh://", "git@", ""]))
def test_no_credentials_get_into_a_page(rest: str, start: str) -> None:
    page = web_address(f"{start}{rest}")
    assert page is None or (page.startswith("https://") and "@" not in page.split("/")[2] and "?" not in page)
    secret = web_address(f"https://user:secret@{rest}")
    assert secret is None or "secret" not in secret


def project(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dbt_project.yml").write_text("name: x\n")


def test_a_project_in_a_folder_is_found_where_it_is_the_only_one(tmp_path: Path) -> None:
    assert locate_project(tmp_path, None) == (".", "")
    project(tmp_path / "transform" / "shop")
    for passed_over in ("dbt_packages/x", "transform/shop/dbt_packages/y", "node_modules/z", ".venv/a", "target/b"):
        project(tmp_path / passed_over)
    assert locate_project(tmp_path, None) == ("transform/shop", "The dbt project was found in transform/shop.")
    assert locate_project(tmp_path, ".") == (".", "")
    project(tmp_path / "other")
    assert find_projects(tmp_path) == ("other", "transform/shop")
    directory, line = locate_project(tmp_path, None)
    assert directory == "."
    assert "set project-directory" in line
    assert "other, transform/shop" in line
    project(tmp_path)
    assert locate_project(tmp_path, None) == (".", "")


def test_a_workspace_that_is_too_large_is_not_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbt_cloud_run.github.checkout._MOST_FOLDERS", 3)
    for number in range(5):
        (tmp_path / str(number)).mkdir()
    assert find_projects(tmp_path) is None
    assert "set project-directory" in locate_project(tmp_path, None)[1]
