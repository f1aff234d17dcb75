"""What the release workflow needs of the repository's files.

tools/release.py facts VERSION OWNER/NAME        print image=…, and digest=… if VERSION has been tagged already
tools/release.py notes VERSION                   print the changelog's section; fails unless everything says VERSION
tools/release.py tag VERSION IMAGE@sha256:…      let action.yml name this image, and push the tags vX.Y.Z and vX
tools/release.py latest VERSION                  print whether no higher version has been tagged
tools/release.py published                       print the image that vX of this major version names; nothing if none

Each can be repeated: what is there already is used, or refused if it is something else.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_IMAGE = re.compile(r"^  image: .*$", flags=re.MULTILINE)
_PINNED = re.compile(r"^  image: docker://(\S+@sha256:[0-9a-f]{64})$", flags=re.MULTILINE)
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_AUTHOR = ("github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com")
_DIGEST = re.compile(r"[a-z0-9][a-z0-9./_-]*@sha256:[0-9a-f]{64}")


def code_version(root: Path = ROOT) -> str:
    text = (root / "src/dbt_cloud_run/__init__.py").read_text()
    if not (match := re.search(r'^__version__ = "(\d+\.\d+\.\d+)"$', text, flags=re.MULTILINE)):
        raise SystemExit("__version__ is not of the form X.Y.Z")
    return match[1]


def changelog_sections(root: Path = ROOT) -> dict[str, str]:
    """The text under each `## [version] - date`, newest first."""
    parts = re.split(
        r"^## \[(.+?)\](?: - \d{4}-\d{2}-\d{2})?$", (root / "CHANGELOG.md").read_text(), flags=re.MULTILINE
    )
    return {version: text.strip() for version, text in zip(parts[1::2], parts[2::2], strict=True)}


def documented_version(root: Path = ROOT) -> str:
    """The version that the documents name: the released one, or the next one if what is unreleased adds to it.

    What is added raises the minor version (https://semver.org, 7); the documents describe it before it is released.
    """
    version = code_version(root)
    if "### Added" not in changelog_sections(root).get("Unreleased", ""):
        return version
    major, minor, _ = version_key(version)
    return f"{major}.{minor + 1}.0"


def notes(version: str, root: Path = ROOT) -> str:
    """The changelog's section for `version`; SystemExit says what does not fit."""
    sections = changelog_sections(root)
    released = [name for name in sections if name != "Unreleased"]
    if code_version(root) != version:
        raise SystemExit(f"__version__ is {code_version(root)}, not {version}")
    if released[:1] != [version] or not sections[version]:
        raise SystemExit(f"the newest section of CHANGELOG.md is not {version}, or is empty")
    if sections.get("Unreleased"):
        raise SystemExit(f"CHANGELOG.md has unreleased changes; move them under {version}")
    return sections[version]


def image_name(repository: str) -> str:
    """The image's name. A registry knows lower case alone, whatever the repository is called."""
    return f"ghcr.io/{repository}".lower()


def pin(image: str, root: Path = ROOT) -> None:
    """Rewrite action.yml's image; SystemExit unless `image` ends in a digest."""
    image = image.lower()
    if not _DIGEST.fullmatch(image):
        raise SystemExit(f"{image} is no image with a digest")
    path = root / "action.yml"
    text, count = _IMAGE.subn(f"  image: docker://{image}", path.read_text())
    if count != 1:
        raise SystemExit("action.yml has no single image line")
    path.write_text(text)


def git(root: Path, *arguments: str, **variables: str) -> str:
    command = [shutil.which("git") or "git", *arguments]
    done = subprocess.run(  # noqa: S603 - git
        command, cwd=root, env=os.environ | variables, check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SystemExit(f"git {arguments[0]} failed")
    return done.stdout.strip()


def version_key(version: str) -> tuple[int, ...]:
    if not (match := _VERSION.fullmatch(version)):
        raise SystemExit(f"{version} is not of the form X.Y.Z")
    return tuple(map(int, match.groups()))


def remote_tags(root: Path) -> dict[str, str]:
    """The commits of the remote's tags, by name."""
    lines = [line.split("\trefs/tags/") for line in git(root, "ls-remote", "--tags", "origin").splitlines()]
    # A tag with a message is listed twice; the second line names the commit.
    return {name.removesuffix("^{}"): commit for commit, name in lines}


def highest(tags: Iterable[str], major: int | None = None) -> tuple[int, ...]:
    """The highest version among the tags; of all major versions, or of one."""
    versions = [version_key(tag[1:]) for tag in tags if tag.startswith("v") and _VERSION.fullmatch(tag[1:])]
    return max((version for version in versions if major in (None, version[0])), default=())


def image_of(tag: str, root: Path = ROOT) -> str | None:
    """The image that a tag of the remote names; None if there is no such tag."""
    if tag not in remote_tags(root):
        return None
    reference = f"refs/tags/{tag}"
    git(root, "fetch", "--quiet", "--force", "origin", f"{reference}:{reference}")
    match = _PINNED.search(git(root, "show", f"{reference}:action.yml"))
    if not match:
        raise SystemExit(f"{tag} exists already, and its action.yml names no image by digest")
    return match[1]


def tagged_image(version: str, root: Path = ROOT) -> str | None:
    """The image that a release names; None if this version has not been tagged."""
    version_key(version)
    return image_of(f"v{version}", root)


def facts(version: str, repository: str, root: Path = ROOT) -> dict[str, str]:
    """What the workflow's jobs need to know before they begin."""
    name, tagged = image_name(repository), tagged_image(version, root)
    if tagged and tagged.partition("@")[0] != name:
        raise SystemExit(f"v{version} exists already, and names an image that is not {name}")
    return {"image": name, "digest": tagged.partition("@")[2] if tagged else ""}


def commit(version: str, image: str, root: Path) -> None:
    """Commit action.yml with the image. The same parent and image always make the same commit."""
    date, (name, address) = git(root, "show", "--no-patch", "--format=%cI", "HEAD"), _AUTHOR
    variables = {"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": address, "GIT_AUTHOR_DATE": date}
    variables |= {key.replace("AUTHOR", "COMMITTER"): value for key, value in variables.items()}
    pin(image, root)
    message = f"Release {version}"
    git(root, "-c", "commit.gpgSign=false", "commit", "--quiet", "--message", message, "--", "action.yml", **variables)


def tag(version: str, image: str, root: Path = ROOT) -> None:
    """Tag the commit that names the image, and let vX follow, both or none; leaves that commit checked out."""
    image, key = image.lower(), version_key(version)
    tagged = tagged_image(version, root)
    if tagged not in (None, image):
        raise SystemExit(f"v{version} exists already with {tagged}; a release is never replaced: raise the version")
    if tagged is None:
        commit(version, image, root)
    else:
        git(root, "checkout", "--quiet", "--detach", f"refs/tags/v{version}")
    head, tags = git(root, "rev-parse", "HEAD"), remote_tags(root)
    pushed = [] if tagged else [f"{head}:refs/tags/v{version}"]
    # A fix of an older version must not take its users back.
    if key >= highest(tags, key[0]) and tags.get(f"v{key[0]}") != head:
        pushed.append(f"+{head}:refs/tags/v{key[0]}")
    if pushed:
        git(root, "push", "--quiet", "--atomic", "origin", *pushed)


def main(arguments: list[str]) -> int:
    match arguments:
        case ["facts", version, repository]:
            print("\n".join(f"{name}={value}" for name, value in facts(version, repository).items()))
        case ["notes", version]:
            print(notes(version))
        case ["tag", version, image]:
            tag(version, image)
        case ["latest", version]:
            print(str(version_key(version) >= highest(remote_tags(ROOT))).lower())
        case ["published"]:
            print(image_of(f"v{code_version().partition('.')[0]}") or "")
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
