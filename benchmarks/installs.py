"""The environments that are compared: the action's, as in its image, and each peer's, with the pins of this file."""

from __future__ import annotations

import compileall
import py_compile
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.measure import ROOT, WORK, environment

ENVIRONMENTS = WORK / "peers"


@dataclass(frozen=True)
class Peer:
    """A peer and how it is installed: groups of packages, one pip call each."""

    name: str
    package: str
    installs: tuple[tuple[str, ...], ...]
    imports: str  # what a user's script imports before it can trigger


PEERS = (
    Peer(
        "prefect-dbt",
        "prefect-dbt",
        # prefect asks for a fastapi that its own server does not start with.
        (("prefect-dbt==0.7.25", "prefect", "dbt-core<1.12"), ("fastapi==0.139.0",)),
        "from prefect_dbt.cloud import DbtCloudJob; from prefect_dbt.cloud.jobs import run_dbt_cloud_job",
    ),
    Peer(
        "dbtc",
        "dbtc",
        (("dbtc==0.11.7", "pyarrow<20"),),  # its own pins do not exclude a pyarrow that needs another numpy
        "from dbtc import dbtCloudClient",
    ),
    Peer(
        "airflow",
        "apache-airflow-providers-dbt-cloud",
        (("apache-airflow-providers-dbt-cloud==4.11.1",),),
        "from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook",
    ),
)


@cache
def peer(name: str) -> tuple[Path | None, str]:
    """The interpreter of a peer's environment, made on the first call, and its version; or None, and why not."""
    wanted = next(one for one in PEERS if one.name == name)
    folder = ENVIRONMENTS / name
    python, ready = folder / "bin" / "python", folder / ".ready"
    stamp = repr(wanted.installs)
    try:
        if not ready.exists() or ready.read_text() != stamp:
            print(f"Installing {name} into build/…", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(folder))
            for group in wanted.installs:
                _run(str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *group)
            _run(str(python), "-c", wanted.imports)
            ready.write_text(stamp)
        version = _run(str(python), "-c", f"import importlib.metadata as m; print(m.version({wanted.package!r}))")
    except (subprocess.CalledProcessError, OSError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        return None, f"not installable here: {said[-1][:120] if said else error}"
    return python, f"{wanted.package} {version.strip()}"


@cache
def action() -> tuple[Path, Path]:
    """The interpreter with the action's packages alone, and the entry point; laid out and compiled as in the image."""
    folder, app = ENVIRONMENTS / "action", WORK / "app"
    _run(str(ROOT / "tools" / "setup"), str(folder), str(ROOT / "requirements" / "action.txt"))
    shutil.rmtree(app, ignore_errors=True)
    app.mkdir(parents=True)
    shutil.copytree(ROOT / "src" / "dbt_cloud_run", app / "dbt_cloud_run", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "entrypoint.py", app)
    python = folder / "bin" / "python"
    site = Path(_run(str(python), "-Ic", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "dbt_cloud_run.pth").write_text(f"{app}\n")
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(app, quiet=2, force=True, invalidation_mode=unchecked)
    return python, app / "entrypoint.py"


def _run(*command: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own
        command, cwd=ROOT, env=environment(DO_NOT_TRACK="1"), check=True, capture_output=True, text=True
    )
    return done.stdout
