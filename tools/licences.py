"""List the licence of every package in the image, and fail on one that its users would have to think about.

They are read from an environment that holds the image's packages alone, in the image's versions.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ".venv-image"
ALLOWED = ("Apache", "BSD", "ISC", "MIT", "Mozilla", "MPL", "PSF", "Python Software Foundation")
# The LGPL asks nothing of who imports an unchanged library that stays replaceable, as it is in site-packages.
ALLOWED_LIBRARIES = ("GNU Library or Lesser General Public License (LGPL)", "LGPL")


def main() -> int:
    made = subprocess.run(["tools/setup", ENVIRONMENT, "requirements/action.txt"], cwd=ROOT, check=False)  # noqa: S603, S607
    if made.returncode:
        return made.returncode
    # Left out are pip and its like, which only the environment has.
    listing = [sys.executable, "-m", "piplicenses", "--python", f"{ENVIRONMENT}/bin/python", "--format", "plain"]
    checking = ["--partial-match", "--allow-only", ";".join(ALLOWED + ALLOWED_LIBRARIES)]
    return subprocess.run([*listing, *checking], cwd=ROOT, check=False).returncode  # noqa: S603 - our own arguments


if __name__ == "__main__":
    sys.exit(main())
