"""The release: its tool, and the workflow's own lines against a local remote; `gh` is a stand-in that can be down."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from tools.release import documented_version, facts, highest, image_name, image_of, notes, pin, tagged_image

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
LINES = "\n".join(step["run"] for step in WORKFLOW["jobs"]["tag"]["steps"] if "run" in step)
IMAGE = "ghcr.io/org/dbt-cloud-run@sha256:"
FIRST, SECOND = IMAGE + "a" * 64, IMAGE + "b" * 64
GH = """#!/bin/sh
[ "$1 $2" = "auth setup-git" ] && exit 0
[ -e "$STATE/down" ] && { echo "HTTP 502" >&2; exit 1; }
case "$1 $2" in
  "release view") test -e "$STATE/$3" ;;
  "release create") test ! -e "$STATE/$3" && echo "$@" > "$STATE/$3" ;;
  *) exit 64 ;;
esac
"""


@dataclass
class Place:
    """A remote, and a folder in which each attempt has a clone of its own."""

    folder: Path
    attempts: int = 0

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        command = [shutil.which("git") or "git", "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments]
        return subprocess.run(  # noqa: S603 - git
            command, cwd=cwd or self.folder / "remote", check=True, capture_output=True, text=True
        ).stdout.strip()

    def write(self, version: str) -> None:
        """A commit on the default branch that is ready for this version."""
        work = self.folder / "work"
        (work / "src/dbt_cloud_run").mkdir(parents=True, exist_ok=True)
        (work / "tools").mkdir(exist_ok=True)
        shutil.copy(ROOT / "tools/release.py", work / "tools")
        action = (ROOT / "action.yml").read_text()  # in the checkout of a release it names an image already
        (work / "action.yml").write_text(re.sub(r"^  image: .*$", "  image: Dockerfile", action, flags=re.MULTILINE))
        (work / "src/dbt_cloud_run/__init__.py").write_text(f'__version__ = "{version}"\n')
        (work / "CHANGELOG.md").write_text(
            f"# Changelog\n\n## [Unreleased]\n\n## [{version}] - 2026-01-02\n\n- {version}\n"
        )
        self.git("add", ".", cwd=work)
        self.git("commit", "--quiet", "--message", f"Prepare {version}", cwd=work)
        self.git("push", "--quiet", "origin", "HEAD:main", cwd=work)

    def clone(self) -> Path:
        self.attempts += 1
        folder = self.folder / f"attempt-{self.attempts}"
        self.git("clone", "--quiet", "--depth", "1", f"file://{self.folder}/remote", str(folder), cwd=self.folder)
        return folder

    def release(self, version: str, image: str = FIRST) -> subprocess.CompletedProcess[str]:
        """The job `tag`, in a new clone as on a new machine."""
        environment = {"PATH": f"{self.folder}/bin{os.pathsep}{os.environ['PATH']}", "STATE": str(self.folder / "bin")}
        command = [shutil.which("bash") or "bash", "-eo", "pipefail", "-c", LINES]
        return subprocess.run(  # noqa: S603 - the workflow's own lines
            command,
            cwd=self.clone(),
            env=environment | {"VERSION": version, "IMAGE": image, "GITHUB_REPOSITORY": "org/dbt-cloud-run"},
            capture_output=True,
            text=True,
            check=False,
        )

    def tags(self) -> dict[str, str]:
        names = self.git("tag").split()
        return {name: self.git("rev-parse", name) for name in names}

    def released(self, version: str) -> str:
        return (self.folder / "bin" / f"v{version}").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gh").write_text(GH)
    (tmp_path / "bin/gh").chmod(0o755)
    (tmp_path / "bin/python3").symlink_to(sys.executable)
    place.git("init", "--quiet", "--bare", "--initial-branch", "main", str(tmp_path / "remote"), cwd=tmp_path)
    place.git("clone", "--quiet", str(tmp_path / "remote"), str(tmp_path / "work"), cwd=tmp_path)
    place.write("1.0.0")
    return place


def test_a_release_tags_a_commit_that_pins_the_image(place: Place) -> None:
    before = place.git("rev-parse", "main")
    done = place.release("1.0.0")
    assert done.returncode == 0, done.stderr
    tags = place.tags()
    assert set(tags) == {"v1.0.0", "v1"}
    assert tags["v1"] == tags["v1.0.0"]
    assert place.git("rev-parse", "v1^") == place.git("rev-parse", "main") == before
    assert f"image: docker://{FIRST}\n" in place.git("show", "v1:action.yml")
    assert "--verify-tag --latest=true" in place.released("1.0.0")


def test_a_release_that_failed_half_way_is_continued(place: Place) -> None:
    (place.folder / "bin/down").touch()
    assert place.release("1.0.0").returncode != 0
    tags = place.tags()
    assert set(tags) == {"v1.0.0", "v1"}
    (place.folder / "bin/down").unlink()
    place.write("1.1.0")  # the default branch has moved on
    for _ in range(2):
        done = place.release("1.0.0")
        assert done.returncode == 0, done.stderr
        assert place.tags() == tags
    assert "v1.0.0" in place.released("1.0.0")
    digest = FIRST.partition("@")[2]
    clone = place.clone()
    assert facts("1.0.0", "Org/dbt-cloud-run", clone) == {"image": "ghcr.io/org/dbt-cloud-run", "digest": digest}
    assert image_of("v1", clone) == FIRST
    assert image_of("v2", clone) is None


def test_the_same_image_makes_the_same_commit(place: Place) -> None:
    assert place.release("1.0.0").returncode == 0
    first = place.tags()["v1"]
    place.git("tag", "--delete", "v1.0.0", "v1")
    assert place.release("1.0.0").returncode == 0
    assert place.tags()["v1.0.0"] == first


def test_neither_tag_is_pushed_where_one_is_refused(place: Place) -> None:
    hook = place.folder / "remote/hooks/update"
    hook.write_text('#!/bin/sh\n[ "$1" != refs/tags/v1 ]\n')
    hook.chmod(0o755)
    assert place.release("1.0.0").returncode != 0
    assert place.tags() == {}
    hook.unlink()
    assert place.release("1.0.0").returncode == 0


def test_a_lost_moving_tag_is_made_good(place: Place) -> None:
    assert place.release("1.0.0").returncode == 0
    tags = place.tags()
    place.git("tag", "--delete", "v1")
    assert place.release("1.0.0").returncode == 0
    assert place.tags() == tags


def test_a_release_is_never_replaced(place: Place) -> None:
    assert place.release("1.0.0").returncode == 0
    tags = place.tags()
    done = place.release("1.0.0", SECOND)
    assert done.returncode != 0
    assert "never replaced" in done.stderr
    assert place.tags() == tags


def test_the_moving_tag_goes_forward_only(place: Place) -> None:
    for version in ("1.9.0", "1.10.0"):
        place.write(version)
        assert place.release(version).returncode == 0
    newest = place.tags()["v1.10.0"]
    place.write("1.9.1")
    assert place.release("1.9.1", SECOND).returncode == 0
    assert place.tags()["v1"] == newest
    assert "--latest=false" in place.released("1.9.1")
    place.write("2.0.0")
    assert place.release("2.0.0").returncode == 0
    assert place.tags()["v1"] == newest
    assert place.tags()["v2"] == place.tags()["v2.0.0"]


def test_a_tag_that_the_workflow_has_not_made_is_refused(place: Place) -> None:
    clone = place.clone()
    assert facts("1.0.0", "org/dbt-cloud-run", clone)["digest"] == ""
    place.git("tag", "v1.0.0", "main")
    with pytest.raises(SystemExit, match="no image by digest"):
        tagged_image("1.0.0", clone)
    assert place.release("1.0.0").returncode != 0
    assert set(place.tags()) == {"v1.0.0"}


def test_a_tag_of_another_repositorys_image_is_refused(place: Place) -> None:
    assert place.release("1.0.0", FIRST).returncode == 0
    with pytest.raises(SystemExit, match=r"not ghcr\.io/other/dbt-cloud-run"):
        facts("1.0.0", "other/dbt-cloud-run", place.clone())


def test_names_and_versions() -> None:
    assert image_name("Org/Dbt-Cloud-Run") == "ghcr.io/org/dbt-cloud-run"
    assert highest(["v1.9.0", "v1.10.0", "v2.0.0", "v1", "nightly", "v3.0.0-rc1"], 1) == (1, 10, 0)
    assert highest([]) == ()
    with pytest.raises(SystemExit, match=r"X\.Y\.Z"):
        tagged_image("1.0.0; true", ROOT)


def test_a_release_pins_the_image_and_nothing_else(tmp_path: Path) -> None:
    text = (ROOT / "action.yml").read_text()
    (tmp_path / "action.yml").write_text(text)
    pin(f"ghcr.io/Org/dbt-cloud-run@sha256:{'0' * 64}", tmp_path)
    pinned = (tmp_path / "action.yml").read_text()
    before, after = yaml.safe_load(text), yaml.safe_load(pinned)
    assert after["runs"].pop("image") == f"docker://ghcr.io/org/dbt-cloud-run@sha256:{'0' * 64}"
    del before["runs"]["image"]
    assert after == before
    with pytest.raises(SystemExit):
        pin("ghcr.io/org/dbt-cloud-run:1.0.0", tmp_path)


@pytest.mark.parametrize(
    ("unreleased", "documented"), [("", "1.2.3"), ("### Fixed\n\n- old", "1.2.3"), ("### Added\n\n- new", "1.3.0")]
)
def test_the_documents_name_the_version_that_has_what_they_describe(
    tmp_path: Path, unreleased: str, documented: str
) -> None:
    (tmp_path / "src/dbt_cloud_run").mkdir(parents=True)
    (tmp_path / "src/dbt_cloud_run/__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(f"## [Unreleased]\n\n{unreleased}\n\n## [1.2.3] - 2026-01-02\n\n- 1\n")
    assert documented_version(tmp_path) == documented


def test_release_notes_need_a_changelog_that_fits(tmp_path: Path) -> None:
    (tmp_path / "src/dbt_cloud_run").mkdir(parents=True)
    (tmp_path / "src/dbt_cloud_run/__init__.py").write_text('__version__ = "1.2.0"\n')
    changelog = (
        "# Changelog\n\n## [Unreleased]\n\n{}\n\n## [1.2.0] - 2026-01-02\n\n- new\n\n## [1.1.0] - 2026-01-01\n\n- old\n"
    )
    (tmp_path / "CHANGELOG.md").write_text(changelog.format(""))
    assert notes("1.2.0", tmp_path) == "- new"
    with pytest.raises(SystemExit, match=r"not 1\.1\.0"):
        notes("1.1.0", tmp_path)
    (tmp_path / "CHANGELOG.md").write_text(changelog.format("- not released"))
    with pytest.raises(SystemExit, match="unreleased"):
        notes("1.2.0", tmp_path)


def test_the_workflow_releases_the_default_branch_alone_and_tags_what_has_started() -> None:
    jobs = WORKFLOW["jobs"]
    guard = jobs["prepare"]["steps"][0]
    assert guard["if"] == "github.ref != format('refs/heads/{0}', github.event.repository.default_branch)"
    assert guard["run"].rstrip().endswith("exit 1")
    assert "needs.start.result == 'success'" in jobs["tag"]["if"]
    assert {"ubuntu-24.04", "ubuntu-24.04-arm"} == set(jobs["start"]["strategy"]["matrix"]["runner"])
    assert jobs["start"]["permissions"] == {}
    assert not any("login" in step.get("uses", "") for step in jobs["start"]["steps"])
