"""Writes the job summaries that the preview takes pictures of: `scenarios.py DIR`."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path

from dbt_cloud_run.report.summary import render_comment, render_summary, summary_budget

ROOT = Path(__file__).resolve().parents[2]


def load(name: str) -> types.ModuleType:
    """A module of what the tests share. An installed package may be called `tests`, so ours is named by its folder."""
    for package_name, folder in (("tests", ROOT / "tests"), ("tests.support", ROOT / "tests" / "support")):
        package = types.ModuleType(package_name)
        package.__path__ = [str(folder)]
        sys.modules[package_name] = package
    return importlib.import_module(f"tests.support.{name}")


def main(folder: Path) -> None:
    scenarios, sizes = load("report_scenarios"), load("report_sizes")
    pages = {
        "green": scenarios.green(),
        "gated": scenarios.gated(),
        "nothing": scenarios.nothing_selected(),
        "recovered": scenarios.recovered(),
        "billed": scenarios.billed(),
        "failed": scenarios.failed(),
        "cancelled": scenarios.cancelled(),
        "setup": scenarios.setup_failed(),
        "hostile": scenarios.hostile(),
        "large": sizes.large(5_000),
        "wide": sizes.wide(),
    }
    for name, data in pages.items():
        (folder / f"{name}.md").write_text(render_summary(data, summary_budget(0)), encoding="utf-8")
    (folder / "comment.md").write_text(render_comment(pages["failed"]), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
