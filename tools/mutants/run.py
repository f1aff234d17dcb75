"""Change what decides, one place at a time, and see whether the tests of its stem notice (`make mutants`).

    tools/mutants/run.py                 every group of `modules.toml`, as far as three hours go
    tools/mutants/run.py retry ledger    these alone

Each group has a folder of its own in `.mutants`, in which `mutmut` keeps what it knows: what was interrupted goes on
where it ended. Only changed functions are looked at again, and survivors when the tests have changed. The report is
written to `.mutants/report`.

Exit status: 0, or 1 where a group has a lower share than it must have, or 3 where there was no time for all mutants.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import tokenize
import tomllib
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".mutants"
ENVIRONMENT = ".venv-mutants"
HOURS = 3.0
NOTICED = ("killed", "timeout", "caught by type check", "segfault")
SURVIVED = (0, 5, 33, 35)
"""Exit codes that `mutmut` keeps of mutants that no test has noticed, or that no test has called."""

SHARED = ("src", "tests", "standins", "benchmarks", "demo", "docs", "tools")
FILES = ("action.yml", "README.md", "entrypoint.py", "post_entrypoint.py")


@dataclass(frozen=True, slots=True)
class Group:
    """Files that are mutated, the tests that have to notice, and the least share of mutants that they notice."""

    name: str
    files: tuple[str, ...]
    tests: tuple[str, ...]
    least: float

    @property
    def folder(self) -> Path:
        return WORK / self.name


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change. `is_text`: it only changes a sentence for people, which no decision rests on."""

    name: str
    status: str
    is_text: bool
    diff: str


def groups() -> list[Group]:
    """What `modules.toml` says."""
    table = tomllib.loads((Path(__file__).parent / "modules.toml").read_text(encoding="utf-8"))
    return [
        Group(name, tuple(entry["files"]), tuple(entry["tests"]), float(entry["least"]))
        for name, entry in table.items()
    ]


def prepare(group: Group) -> None:
    """The group's folder: the project as links, and its configuration with what `mutmut` has to know."""
    group.folder.mkdir(parents=True, exist_ok=True)
    for name in (*SHARED, *FILES):
        link = group.folder / name
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(ROOT / name, group.folder))
    options = ["-p", "no:cacheprovider", "-m", "not slow and not container", "-W", "ignore::DeprecationWarning"]
    added = {
        "source_paths": ["src"],
        "only_mutate": list(group.files),
        "also_copy": [*SHARED[2:], *FILES],
        # A process in which the tests have run once holds what they have cached, and would not call what is mutated.
        "process_isolation": "forkserver",
        "pytest_add_cli_args": options,
        "pytest_add_cli_args_test_selection": list(group.tests),
        # What is logged is for people.
        "do_not_mutate_patterns": [r"_logger\.\w+\(", r"console\.\w+\("],
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in added.items()]
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (group.folder / "pyproject.toml").write_text("\n".join([text, "[tool.mutmut]", *lines, ""]), encoding="utf-8")


def inside(group: Group, words: list[str], seconds: float | None = None) -> subprocess.CompletedProcess[bytes]:
    """This file again, with the group's folder as the working folder: `mutmut` knows no other way to be told."""
    command = [sys.executable, str(Path(__file__)), "--inside", *words]
    return subprocess.run(command, cwd=group.folder, timeout=seconds, check=False, stdout=subprocess.PIPE)  # noqa: S603


def forget_survivors(group: Group) -> None:
    """Look again at what was not noticed, if the tests have changed since: `mutmut` watches what it mutates alone.

    Which test calls which function is found out again, too: it may call others by now, or by other names.
    """
    patterns = (*group.tests, *group.files, "tests/support/*.py")
    files = sorted({file for pattern in patterns for file in ROOT.glob(pattern)})
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    stamp = group.folder / "tests.sha256"
    known = stamp.read_text(encoding="utf-8") if stamp.is_file() else ""
    stamp.write_text(digest, encoding="utf-8")
    if known != digest:
        (group.folder / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    for meta in (group.folder / "mutants").rglob("*.meta") if known != digest else ():
        content = json.loads(meta.read_text(encoding="utf-8"))
        codes = content["exit_code_by_key"]
        content["exit_code_by_key"] = {name: None if code in SURVIVED else code for name, code in codes.items()}
        meta.write_text(json.dumps(content), encoding="utf-8")


def mutate(group: Group, children: int, seconds: float) -> bool:
    """Look at all mutants that have not been looked at; False where the time was too short."""
    words = ["run", "--max-children", str(children)]
    process = subprocess.Popen(  # noqa: S603 - our own arguments
        [sys.executable, str(Path(__file__)), "--inside", *words],
        cwd=group.folder,
        stdout=(WORK / f"{group.name}.log").open("wb"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        return process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        # Its fork server and the mutants' processes are of the same group, and outlive a mere SIGTERM.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def results(group: Group) -> list[Mutant]:
    """What has become of each mutant."""
    return [Mutant(**entry) for entry in json.loads(inside(group, ["results"]).stdout)]


def share(mutants: list[Mutant]) -> float:
    """The percentage of those that change a decision which the tests have noticed."""
    counted = [mutant for mutant in mutants if not mutant.is_text and mutant.status != "not checked"]
    return 100 * sum(mutant.status in NOTICED for mutant in counted) / len(counted) if counted else 0.0


def report(found: dict[Group, list[Mutant]]) -> str:
    """A table, and the diff of each survivor."""
    lines = [
        "| group | mutants | of texts | noticed | survived | not looked at | share | least |",
        "|---|" + "---:|" * 7,
    ]
    for group, mutants in found.items():
        counted = Counter(mutant.status for mutant in mutants if not mutant.is_text)
        noticed, waiting = sum(counted[status] for status in NOTICED), counted["not checked"]
        texts = sum(mutant.is_text for mutant in mutants)
        survived = counted.total() - noticed - waiting
        figures = (len(mutants), texts, noticed, survived, waiting, f"{share(mutants):.1f} %", f"{group.least:g} %")
        lines.append(f"| {group.name} | " + " | ".join(str(figure) for figure in figures) + " |")
    for group, mutants in found.items():
        for mutant in mutants:
            if mutant.status not in (*NOTICED, "not checked") and not mutant.is_text:
                lines += ["", f"### {group.name}: {mutant.name} ({mutant.status})", "", "```diff", mutant.diff, "```"]
    return "\n".join([*lines, ""])


def main(arguments: list[str]) -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="GROUP")
    parser.add_argument("--hours", type=float, default=HOURS)
    parser.add_argument("--children", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--report-only", action="store_true")
    options = parser.parse_args(arguments)
    chosen = [group for group in groups() if not options.names or group.name in options.names]
    if unknown := set(options.names) - {group.name for group in chosen}:
        parser.error(f"no such group in modules.toml: {', '.join(sorted(unknown))}")
    subprocess.run(["tools/setup", ENVIRONMENT, "requirements/mutants.txt"], cwd=ROOT, check=True)  # noqa: S603, S607
    end, is_complete = time.monotonic() + options.hours * 3600, True
    for group in chosen:
        prepare(group)
        if not options.report_only:
            forget_survivors(group)
            print(f"{group.name}: its log is .mutants/{group.name}.log", flush=True)
            is_complete &= mutate(group, options.children, max(end - time.monotonic(), 1.0))
    found = {group: results(group) for group in chosen}
    folder = WORK / "report"
    folder.mkdir(exist_ok=True)
    text = report(found)
    (folder / "mutants.md").write_text(text, encoding="utf-8")
    as_json = {group.name: [asdict(mutant) for mutant in mutants] for group, mutants in found.items()}
    (folder / "mutants.json").write_text(json.dumps(as_json, indent=1) + "\n", encoding="utf-8")
    print(text.partition("\n\n")[0])
    is_good = all(share(mutants) >= group.least for group, mutants in found.items())
    return 3 if not is_complete else 0 if is_good else 1


# -- with the group's folder as the working folder


def run_inside(words: list[str]) -> int:
    """`mutmut` in this process, which has the tests' packages; its own come after them."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    sys.path.append(str(ROOT / ENVIRONMENT / "lib" / version / "site-packages"))
    if words[0] == "results":
        json.dump(known_mutants(), sys.stdout)
        return 0
    # Both need what was added to the path.
    import warm
    from mutmut.__main__ import cli

    warm.install()
    sys.argv = ["mutmut", *words]
    cli()
    return 0


def known_mutants() -> list[dict[str, object]]:
    """All mutants of this folder, with the diff of those that were not noticed."""
    from mutmut.mutation.data import SourceFileMutationData
    from mutmut.mutation.diff_apply import get_diff_for_mutant
    from mutmut.stats import status_by_exit_code
    from mutmut.utils.file_utils import walk_mutatable_files

    found: list[dict[str, object]] = []
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        for name, code in data.exit_code_by_key.items():
            diff = get_diff_for_mutant(name, path=path)
            status = str(status_by_exit_code[code])
            found.append({"name": name, "status": status, "is_text": changes_text_only(diff), "diff": diff})
    return found


def changes_text_only(diff: str) -> bool:
    """Whether a diff changes nothing but a sentence within quotes: words, with blanks between them."""
    body = [line for line in diff.splitlines() if not line.startswith(("---", "+++", "@@"))]
    before = _tokens("\n".join(line[1:] for line in body if line.startswith("-")))
    after = _tokens("\n".join(line[1:] for line in body if line.startswith("+")))
    changed = [(old, new) for old, new in zip(before, after, strict=False) if old != new]
    return len(before) == len(after) and len(changed) == 1 and all(_is_sentence(token) for token in changed[0])


def _is_sentence(token: tuple[int, str]) -> bool:
    kind, text = token
    return kind == tokenize.STRING and len(text.strip("\"'").split()) > 2


def _tokens(source: str) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    # A line of a larger statement ends in its middle: what was read until then is all there is.
    with contextlib.suppress(tokenize.TokenError, IndentationError):
        found.extend(
            (token.type, token.string) for token in tokenize.generate_tokens(io.StringIO(source.strip()).readline)
        )
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        sys.exit(run_inside(sys.argv[2:]))
    sys.exit(main(sys.argv[1:]))
