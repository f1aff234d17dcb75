"""What the release workflow needs of the repository's files.

tools/release.py notes VERSION          print the changelog's section; fails unless everything says VERSION
tools/release.py pin IMAGE@sha256:...   let action.yml name this image instead of the Dockerfile
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_IMAGE = re.compile(r"^  image: .*$", flags=re.MULTILINE)
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


def pin(image: str, root: Path = ROOT) -> None:
    """Rewrite action.yml's image; SystemExit unless `image` ends in a digest."""
    if not _DIGEST.fullmatch(image):
        raise SystemExit(f"{image} is no image with a digest")
    path = root / "action.yml"
    text, count = _IMAGE.subn(f"  image: docker://{image}", path.read_text())
    if count != 1:
        raise SystemExit("action.yml has no single image line")
    path.write_text(text)


def main(arguments: list[str]) -> int:
    match arguments:
        case ["notes", version]:
            print(notes(version))
        case ["pin", image]:
            pin(image)
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
