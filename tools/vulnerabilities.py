"""List the known vulnerabilities of the packages in the image.

tools/vulnerabilities.py            fails on any; where they cannot be looked up, one line says so
tools/vulnerabilities.py --strict   fails there, too
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = "requirements/action.txt"
SECONDS = 180
_AUDIT = [
    ".venv-scan/bin/pip-audit",
    "--require-hashes",
    "--disable-pip",
    "--progress-spinner",
    "off",
    "--timeout",
    "10",
]


def audit() -> str:
    """What pip-audit found, as JSON; empty if it could not be asked."""
    for command in (["tools/setup", ".venv-scan", "requirements/scan.txt"], [*_AUDIT, "-f", "json", "-r", LIST]):
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired):
            return ""
    return done.stdout


def verdict(text: str, *, strict: bool) -> tuple[int, list[str]]:
    """The exit status, and what to print. A package that was skipped is not one without vulnerabilities."""
    try:
        packages = json.loads(text)["dependencies"]
    except (ValueError, KeyError, TypeError):
        packages = []
    found = [
        f"vulnerability: {package['name']} {package['version']}: {entry['id']}, "
        f"fixed in {', '.join(entry['fix_versions']) or 'no version'}"
        for package in packages
        for entry in package.get("vulns", ())
    ]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if unknown or not packages:
        count = f"{len(unknown)} of {len(packages)} packages" if packages else "the packages"
        found.append(
            f"vulnerabilities: NOT CHECKED here: {count} of {LIST} could not be looked up; "
            "the workflow scan checks them every week"
        )
        return int(strict or len(found) > 1), found
    return int(bool(found)), found or [f"vulnerabilities: none is known of the {len(packages)} packages of {LIST}"]


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--strict"]):
        print(__doc__, file=sys.stderr)
        return 2
    status, lines = verdict(audit(), strict=bool(arguments))
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
