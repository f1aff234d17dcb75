"""List the licence of everything that the image holds, and fail on one that its users would have to think about."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parent.parent / "requirements" / "action.txt"
ALLOWED = ("Apache", "BSD", "ISC", "MIT", "Mozilla", "MPL", "PSF", "Python Software Foundation")
# The LGPL asks nothing of who imports an unchanged library that stays replaceable, as it is in site-packages.
ALLOWED_LIBRARIES = ("GNU Library or Lesser General Public License (LGPL)", "LGPL")


def main() -> int:
    names = re.findall(r"^([A-Za-z0-9._-]+)==", LOCK.read_text(), flags=re.MULTILINE)
    listing = [sys.executable, "-m", "piplicenses", "--with-system", "--format", "plain", "--packages", *names]
    checking = ["--partial-match", "--allow-only", ";".join(ALLOWED + ALLOWED_LIBRARIES)]
    return subprocess.run([*listing, *checking], check=False).returncode  # noqa: S603 - our own arguments


if __name__ == "__main__":
    sys.exit(main())
