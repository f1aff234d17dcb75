"""What is left of other workflow runs in the default folder, on real files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dbt_cloud_run.github.files import UnsafePathError
from dbt_cloud_run.github.leftovers import IGNORE, INDEX, Leftovers, index_of


def write(folder: Path, run_id: str, *names: str) -> Leftovers:
    """As a step does it."""
    leftovers = Leftovers(folder, run_id)
    leftovers.prepare()
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"of {run_id}")
    leftovers.seal(paths)
    return leftovers


def files(folder: Path) -> set[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return found - {INDEX, ".gitignore"}


def test_what_another_run_wrote_is_removed_with_its_empty_folders(tmp_path: Path) -> None:
    write(tmp_path, "1", "7/manifest.json", "7/runs/5/step-1/run_results.json", "7/compiled/a.sql")
    (tmp_path / "7/mine.txt").write_text("of a user")
    assert Leftovers(tmp_path, "2").prepare() == 3
    assert files(tmp_path) == {"7/mine.txt"}
    assert {path.name for path in tmp_path.rglob("*") if path.is_dir()} == {"7"}


def test_nothing_of_this_workflow_run_is_removed(tmp_path: Path) -> None:
    write(tmp_path, "1", "7/manifest.json")
    write(tmp_path, "1", "8/manifest.json")
    assert Leftovers(tmp_path, "1").prepare() == 0
    assert files(tmp_path) == {"7/manifest.json", "8/manifest.json"}
    # Written again by another run, it is that one's.
    write(tmp_path, "2", "7/manifest.json")
    assert files(tmp_path) == {"7/manifest.json"}
    assert Leftovers(tmp_path, "2").prepare() == 0


def test_what_a_user_changed_or_put_there_stays(tmp_path: Path) -> None:
    write(tmp_path, "1", "7/changed.json", "7/touched.json", "7/link.json", "7/folder.json")
    (tmp_path / "7/changed.json").write_text("edited by a later step")
    os.utime(tmp_path / "7/touched.json", ns=(1, 1))
    (tmp_path / "7/link.json").unlink()
    (tmp_path / "7/link.json").symlink_to(tmp_path / "7/changed.json")
    (tmp_path / "7/folder.json").unlink()
    (tmp_path / "7/folder.json").mkdir()
    (tmp_path / "7/folder.json/x").write_text("")
    assert Leftovers(tmp_path, "2").prepare() == 0
    assert files(tmp_path) == {"7/changed.json", "7/touched.json", "7/link.json", "7/folder.json/x"}
    # From then on they are the user's for good.
    assert Leftovers(tmp_path, "3").prepare() == 0


def test_an_entry_that_was_cut_off_or_names_no_size_removes_nothing(tmp_path: Path) -> None:
    write(tmp_path, "1", "7/manifest.json", "7/runs/5/step-1/run_results.json")
    with (tmp_path / INDEX).open("a") as index:
        index.write('{"run": "1", "path": "7/mine", "size": null, "time": null}\n{"run": "1", "pa')
    (tmp_path / "7/mine").write_text("of a user")
    assert Leftovers(tmp_path, "2").prepare() == 2
    assert files(tmp_path) == {"7/mine"}


def test_an_index_that_was_tampered_with_leads_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / "dbt-cloud"
    secret = tmp_path / "runs" / "1" / "secret"
    secret.parent.mkdir(parents=True)
    secret.write_text("keep")
    folder.mkdir()
    (folder / "runs").symlink_to(tmp_path / "runs")
    names = ["../runs/1/secret", str(secret), "runs/1/secret", "", "a\u0000b", "a//b"]
    lines = [f'{{"run": "1", "path": {name!r}, "size": null, "time": null}}'.replace("'", '"') for name in names]
    (folder / INDEX).write_text("\n".join([*lines, "[]", "null", '{"run": 1}', "[" * 5000]))
    assert Leftovers(folder, "2").prepare() == 0
    assert secret.read_text() == "keep"


def test_the_folder_is_ignored_by_git_unless_it_says_itself(tmp_path: Path) -> None:
    folder = tmp_path / "dbt-cloud"
    Leftovers(folder, "1").prepare()
    assert (folder / ".gitignore").read_text() == IGNORE
    (folder / ".gitignore").write_text("mine\n")
    Leftovers(folder, "2").prepare()
    assert (folder / ".gitignore").read_text() == "mine\n"


def test_a_folder_that_has_become_a_link_is_left_alone(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "dbt-cloud"
    outside.mkdir()
    folder.symlink_to(outside)
    with pytest.raises(UnsafePathError):
        Leftovers(folder, "1").prepare()
    assert list(outside.iterdir()) == []


def test_an_index_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    """A checkout of a pull request holds what its author put there, links to files of the runner among it."""
    folder, outside = tmp_path / "dbt-cloud", tmp_path / "event.json"
    folder.mkdir()
    outside.write_text("{}")
    (folder / INDEX).symlink_to(outside)
    with pytest.raises(OSError, match="symbolic links"):
        write(folder, "2", "7/manifest.json")
    assert outside.read_text() == "{}"


def test_the_index_that_replaces_it_is_not_written_through_a_link(tmp_path: Path) -> None:
    folder, outside = tmp_path / "dbt-cloud", tmp_path / "event.json"
    write(folder, "1", "7/manifest.json")
    outside.write_text("{}")
    (folder / f"{INDEX}.new").symlink_to(outside)
    write(folder, "2", "7/catalog.json")
    assert outside.read_text() == "{}"
    assert files(folder) == {"7/catalog.json"}
    assert not (folder / INDEX).is_symlink()
    assert Leftovers(folder, "3").prepare() == 1


def test_outside_of_a_workflow_nothing_is_kept_or_removed(tmp_path: Path) -> None:
    write(tmp_path, "1", "7/manifest.json")
    before = (tmp_path / INDEX).read_text()
    write(tmp_path, "", "7/other.json")
    assert files(tmp_path) == {"7/manifest.json", "7/other.json"}
    assert (tmp_path / INDEX).read_text() == before


def test_only_the_default_folder_has_an_index(tmp_path: Path) -> None:
    assert index_of(tmp_path, tmp_path / "dbt-cloud" / "7", "1") is not None
    assert index_of(tmp_path, tmp_path / "mine", "1") is None
    assert index_of(tmp_path, tmp_path / "dbt-cloud", "1") is None
    (tmp_path / "dbt-cloud").symlink_to(tmp_path)
    assert index_of(tmp_path, tmp_path / "dbt-cloud" / "7", "1") is None


@pytest.mark.parametrize("count", [3])
def test_the_index_does_not_grow_from_run_to_run(tmp_path: Path, count: int) -> None:
    for run in range(count):
        write(tmp_path, str(run), "7/manifest.json")
    assert len((tmp_path / INDEX).read_text().splitlines()) == 1
