"""What `make mutants` looks at is there, and what it does not count are sentences alone."""

from __future__ import annotations

import importlib.util
import json
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
GROUPS = tomllib.loads((ROOT / "tools/mutants/modules.toml").read_text(encoding="utf-8"))


def matching(patterns: list[str]) -> set[Path]:
    found = {pattern: set(ROOT.glob(pattern)) for pattern in patterns}
    assert all(found.values()), found
    return set().union(*found.values())


@pytest.fixture(scope="module")
def run() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutants_run", ROOT / "tools/mutants/run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "mutants_run", module)
        spec.loader.exec_module(module)
    return module


def test_all_that_decides_is_in_a_group_and_every_file_and_test_is_there() -> None:
    files = set().union(*(matching(group["files"]) for group in GROUPS.values()))
    for group in GROUPS.values():
        matching(group["tests"])
    package = ROOT / "src/dbt_cloud_run"
    rooms = [path for room in ("start", "retry", "ledger", "waiting") for path in (package / room).glob("*.py")]
    single = [package / f"{name}.py" for name in ("commits", "loop", "story", "post", "redaction")]
    decides = {path for path in (*rooms, *single) if path.name != "__init__.py"}
    assert decides - files == set()


@pytest.mark.parametrize("name", ["retry", "ledger", "loop", "once", "post"])
def test_what_gates_rest_on_has_the_higher_share(name: str) -> None:
    assert GROUPS[name]["least"] == 95


@pytest.mark.parametrize(
    ("before", "after", "is_text"),
    [
        ('    why = "the run has ended already"', '    why = "XXthe run has ended alreadyXX"', True),
        ('    return f(a, "some words for people")', '    return f(a, "SOME WORDS FOR PEOPLE")', True),
        ('    if kind == "error":', '    if kind == "XXerrorXX":', False),
        ('    return "two words"', '    return "XXtwo wordsXX"', False),
        ("    return a < b", "    return a <= b", False),
        ('    return f(a, "some words for people")', "    return f(a, None)", False),
        ('    return f(a, "some words for people")', '    return f(None, "some words for people")', False),
    ],
)
def test_only_a_sentence_is_a_text(run: ModuleType, before: str, after: str, is_text: bool) -> None:
    diff = f"--- a\n+++ b\n@@ -1,3 +1,3 @@\n def f():\n-{before}\n+{after}\n     pass"
    assert run.changes_text_only(diff) is is_text


def test_after_a_change_survivors_are_looked_at_again_by_the_tests_that_call_them_now(
    run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "WORK", tmp_path / "work")
    group = run.Group("some", ("file.py",), ("test.py",), 95.0)
    (group.folder / "mutants").mkdir(parents=True)
    statistics, meta = group.folder / "mutants/mutmut-stats.json", group.folder / "mutants/file.py.meta"

    def after(changed: str) -> tuple[bool, dict[str, int | None]]:
        (tmp_path / changed).write_text((tmp_path / changed).read_text() + "\n")
        statistics.write_text("{}")
        meta.write_text(json.dumps({"exit_code_by_key": {"killed": 1, "survived": 0, "called by none": 33}}))
        run.forget_survivors(group)
        return statistics.exists(), json.loads(meta.read_text())["exit_code_by_key"]

    for name in ("file.py", "test.py", "other.py"):
        (tmp_path / name).write_text("")
    run.forget_survivors(group)
    looked_at_again = {"killed": 1, "survived": None, "called by none": None}
    assert after("file.py") == after("test.py") == (False, looked_at_again)
    assert after("other.py") == (True, {"killed": 1, "survived": 0, "called by none": 33})
