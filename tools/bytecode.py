"""Used while the image is built: compile what the action imports of the standard library, and say where it lies.

    python -I tools/bytecode.py > LIST

The official Python images hold no byte code of the standard library, so every start would compile it again.
"""

from __future__ import annotations

import importlib
import pkgutil
import py_compile
import sys
import sysconfig
from pathlib import Path

# Needs `rich`, an extra of the command that the image does not carry.
LEFT_OUT = ("dbt_cloud_run.command.terminal",)
# Imported by libraries and by the interpreter itself, but not before they are needed.
LATER = ("encodings.idna", "importlib.readers", "importlib.resources._adapters", "anyio._backends._asyncio")


def import_everything() -> None:
    """Every module of the action, and with them all that they import."""
    import dbt_cloud_run

    for module in pkgutil.walk_packages(dbt_cloud_run.__path__, "dbt_cloud_run."):
        if module.name not in LEFT_OUT:
            importlib.import_module(module.name)
    for name in LATER:
        importlib.import_module(name)


def compiled() -> list[str]:
    """The byte code files, new and old; of the standard library alone."""
    library = Path(sysconfig.get_path("stdlib"))
    found = []
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        if spec is None or not spec.has_location or not spec.origin.endswith(".py") or spec.cached is None:
            continue
        if library in Path(spec.origin).parents and "site-packages" not in spec.origin:
            # Never checked against its source: starts fastest, and is the same in every build.
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            found.append(str(py_compile.compile(spec.origin, doraise=True, invalidation_mode=mode)))
    return sorted(found)


if __name__ == "__main__":
    import_everything()
    print("\n".join(compiled()))
