"""What each sink of `emit` adds to the image: its own modules, and the packages that nothing else needs.

    python -m benchmarks.weights [--write]

The packages of the image are installed into an empty folder; those of a sink are removed again, and the difference is
measured. Byte code is included, as in the image.
"""

from __future__ import annotations

import argparse
import compileall
import gzip
import importlib.metadata
import io
import py_compile
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks.measure import ROOT
from benchmarks.results import put

EMIT = ROOT / "src" / "dbt_cloud_run" / "emit"
# Each sink's own modules, and the package that it is the only one to import.
SINKS = {
    "Prefect": (["prefect.py"], None),
    "OpenLineage": (["openlineage.py", "lineage"], "openlineage-python"),
}
INTERFACE = ["__init__.py", "emission.py", "emit.py", "sink.py"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table in benchmarks/RESULTS.md, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = report(Path(folder))
    print(table)
    if options.write:
        put("weights", table, with_peers=False)
    return 0


def report(folder: Path) -> str:
    """The table as markdown."""
    packages = folder / "packages"
    _install(packages)
    rows: list[tuple[str, list[str], tuple[int, int]]] = [
        ("the interface that both share", [], _ours(folder, "interface", INTERFACE))
    ]
    for sink, (modules, root) in SINKS.items():
        names = _only_for(packages, root) if root else []
        files = [path for name in names for path in _top_level(packages, name)]
        size, compressed = _weight(files) if files else (0, 0)
        own = _ours(folder, sink, modules)
        rows.append((sink, names, (size + own[0], compressed + own[1])))
    lines = ["| part | packages | MB | MB compressed |", "| --- | --- | ---: | ---: |"]
    for part, names, (size, compressed) in rows:
        lines.append(f"| {part} | {', '.join(names) or 'none'} | {size / 1e6:.2f} | {compressed / 1e6:.2f} |")
    size, compressed = _weight(packages.iterdir())
    lines.append(f"| all packages of the image |  | {size / 1e6:.2f} | {compressed / 1e6:.2f} |")
    return "\n".join(lines)


def _install(target: Path) -> None:
    words = ["install", "-q", "--disable-pip-version-check", "--no-compile", "--require-hashes"]
    words += ["--only-binary", ":all:", "--target", str(target), "-r", str(ROOT / "requirements" / "action.txt")]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)  # noqa: S603 - our own
    # As the Dockerfile does.
    shutil.rmtree(target / "tests", ignore_errors=True)
    _compile(target)


def _compile(folder: Path) -> None:
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(folder, quiet=2, force=True, invalidation_mode=mode)


def _ours(folder: Path, name: str, modules: Iterable[str]) -> tuple[int, int]:
    copied = folder / name
    for module in modules:
        source = EMIT / module
        if source.is_dir():
            shutil.copytree(source, copied / module, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            copied.mkdir(exist_ok=True)
            shutil.copy(source, copied)
    _compile(copied)
    return _weight([copied])


def _only_for(packages: Path, root: str) -> list[str]:
    """The packages that this one needs, itself included, and that nothing else in the image needs."""
    needs = {
        _plain(found.name): {_plain(re.split(r"[^\w.-]", line)[0]) for line in _required(found)}
        for found in importlib.metadata.distributions(path=[str(packages)])
    }
    with_it = _reached(needs, needs.keys() - set().union(*needs.values()))
    without = _reached(needs, needs.keys() - set().union(*needs.values()) - {root})
    return sorted(with_it - without)


def _required(found: importlib.metadata.Distribution) -> list[str]:
    # An extra that the image has stands in the lock file by itself; what it brings is small beside the rest.
    return [line for line in found.requires or () if "extra ==" not in line]


def _reached(needs: dict[str, set[str]], roots: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in needs and name not in found:
            found.add(name)
            waiting += needs[name]
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _top_level(packages: Path, name: str) -> list[Path]:
    found = next(one for one in importlib.metadata.distributions(path=[str(packages)]) if _plain(one.name) == name)
    tops = {Path(str(file)).parts[0] for file in found.files or () if not str(file).startswith("..")}
    return [packages / top for top in sorted(tops) if (packages / top).exists()]


def _weight(paths: Iterable[Path]) -> tuple[int, int]:
    """Bytes of one archive of these, and compressed."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path in sorted(set(paths)):
            if path.exists():
                archive.add(path, arcname=path.name)
    data = content.getvalue()
    return len(data), len(gzip.compress(data, 6))


if __name__ == "__main__":
    sys.exit(main())
