"""Paths stay in the workspace, and what we write there belongs to its owner."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbt_cloud_run.github.artifacts.upload import safe_artifact_name
from dbt_cloud_run.github.files import (
    UnsafePathError,
    WorkspaceFiles,
    inside_workspace,
    own_like_workspace,
    safe_relative,
)

UNSAFE = ["", "/etc/passwd", "//x", "..", "a/../..", "a/../b", "../x", "a\\b", "a\x00b", "a\nb", "x" * 256, "\ud800"]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", UNSAFE)
def test_names_that_lead_elsewhere_are_refused(workspace: Path, name: str) -> None:
    with pytest.raises(UnsafePathError):
        safe_relative(name)
    with pytest.raises(UnsafePathError):
        inside_workspace(workspace, name)


# Trailing blanks of all kinds, and what file systems that ignore the case ignore, too.
ODD_ENDS = [f".git{end}/x" for end in (" ", ". .", "\x85", "\u00a0", "\u1680", "\u2028", "\u3000.")]
ODD_ENDS += [f".gi{ignored}thub/x" for ignored in ("\u00ad", "\u115f", "\u200c", "\u3164", "\ufe0f", "\U000e0100")]


@pytest.mark.parametrize(
    "name", [".git/config", "x/.GitHub/workflows/a.yml", ".github", "a/.git", ".Git./x", *ODD_ENDS]
)
def test_git_s_own_folders_are_refused_to_others_and_not_to_the_workflow(workspace: Path, name: str) -> None:
    with pytest.raises(UnsafePathError, match="Git"):
        safe_relative(name)
    assert inside_workspace(workspace, name) == workspace / name


@pytest.mark.parametrize("name", [".gitignore", ".git-folder/x", "git/x", ".github.md", "a.git/x"])
def test_names_that_only_resemble_them_pass(name: str) -> None:
    assert str(safe_relative(name)) == name


@given(st.lists(st.sampled_from(["a", ".", "..", "/", "\\", " ", "\x00", "é", "~"]), max_size=12).map("".join))
def test_whatever_is_let_through_stays_below(name: str) -> None:
    try:
        path = safe_relative(name)
    except UnsafePathError:
        return
    base = Path("/base/folder")
    assert Path(os.path.normpath(base / path)).is_relative_to(base)


@pytest.mark.parametrize("name", ["manifest.json", "compiled/shop/models/a b.sql", "./x", "a//b", "..a", "a..b/c"])
def test_ordinary_names_pass(workspace: Path, name: str) -> None:
    assert inside_workspace(workspace, name) == Path(os.path.normpath(workspace / name))


def test_links_may_not_lead_out(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (workspace / "out").symlink_to(tmp_path / "outside")
    (workspace / "file").symlink_to("/etc/hostname")
    (workspace / "dangling").symlink_to(tmp_path / "not-there")
    (workspace / "sibling").symlink_to(tmp_path / "workspace-other")
    for name in ("out", "out/x", "file", "dangling", "dangling/x", "sibling"):
        with pytest.raises(UnsafePathError, match="symbolic link"):
            inside_workspace(workspace, name)


def test_links_within_are_followed_to_the_real_place(workspace: Path) -> None:
    (workspace / "real").mkdir()
    (workspace / "link").symlink_to("real")
    assert inside_workspace(workspace, "link/new/file") == workspace / "real/new/file"


def test_the_workspace_itself(workspace: Path) -> None:
    assert inside_workspace(workspace, ".") == inside_workspace(workspace, "./") == workspace
    with pytest.raises(UnsafePathError):
        safe_relative(".")


def test_a_workspace_that_is_a_link_itself(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(workspace)
    assert inside_workspace(tmp_path / "alias", "x") == workspace / "x"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_wrote_belongs_to_the_owner_of_the_workspace(workspace: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    os.chown(workspace, 1234, 2345)
    written = workspace / "dbt-cloud" / "7"
    (written / "runs").mkdir(parents=True)
    (written / "runs" / "manifest.json").touch()
    (written / "link").symlink_to(outside / "file")
    (written / "folder-link").symlink_to(outside)
    own_like_workspace([workspace / "no" / "such", outside / "file", written], workspace)

    def owner(path: Path) -> tuple[int, int]:
        return (path.lstat().st_uid, path.lstat().st_gid)

    for path in (written.parent, written, *written.rglob("*")):
        assert owner(path) == (1234, 2345), path
    assert owner(outside) == owner(outside / "file") == (0, 0)
    assert owner(tmp_path) == (0, 0)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("dbt-cloud-run-1-2", "dbt-cloud-run-1-2"),
        ('a"b:c<d>e|f*g?h\ri\nj\\k/l', "a-b-c-d-e-f-g-h-i-j-k-l"),
        (" / ", "-"),
        ("", "dbt-cloud-run"),
        ("x" * 300, "x" * 200),
    ],
)
def test_artifact_names(name: str, safe: str) -> None:
    assert safe_artifact_name(name) == safe


def test_names_that_no_file_system_takes_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    for name in ("model.sql", "models/a.sql"):
        (tmp_path / name).touch()
    files = WorkspaceFiles(tmp_path)
    assert "model.sql" in files
    assert "models/a.sql" in files
    for name in (
        "models",
        "models/",
        "models/b.sql",
        "x" * 300,
        "a/" * 3_000,
        "nul\0",
        "nul\0/a",
        "\ud800",
        "\ud800/a",
    ):
        assert name not in files
