"""Plays three runs with real dbt, and keeps what people see of them for the pictures: `real_runs.py DIR`.

DIR gets `summary.md` (the demo, which recovers), `comment.md` and `annotation.json` (a pull request with a mistake in
one model), and `terminal.txt` (the command on a terminal of 130 columns, with its escape sequences).
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scenarios import ROOT, load

sys.path.insert(0, str(ROOT))

from standins.emulator import running_emulator
from standins.runner import STEP, Runner, command
from standins.runner_log import read_stream

from dbt_cloud_emulator.config import DEMO_TOKEN, SHIPPED_PROJECT

BUILD_JOB, CI_JOB = "1001", "1004"  # of the emulator's own account
REPOSITORY, NUMBER = "org/repo", 5  # those of the stand-in of GitHub's API
COLUMNS, ROWS = 130, 50

CHANGED = "models/finance/daily_revenue.sql"
LINE = "    sum(refunded) as refunded\n"
# The mistake: a comma is missing.
NEW_LINES = f"{LINE}    sum(amount) - sum(refunded) as net_revenue\n"


def main(folder: Path) -> None:
    """Play the runs one after another: each needs the processor for itself."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    demo = [sys.executable, "-m", "demo", str(folder / "demo")]
    subprocess.run(demo, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own
    shutil.copy(folder / "demo" / "summary.md", folder)
    _pull_request(folder)
    (folder / "terminal.txt").write_bytes(_terminal(folder / "command"))


# -- a pull request


@dataclass(frozen=True)
class PullRequest:
    """A clone of the project at the head of a pull request."""

    folder: Path

    @classmethod
    def opened(cls, folder: Path) -> PullRequest:
        """The shop project, in which nothing is flaky, with a commit on top that changes one model."""
        shutil.copytree(SHIPPED_PROJECT, folder, ignore=shutil.ignore_patterns("target", "logs", "dbt_packages"))
        opened = cls(folder)
        opened.git("init", "--quiet", "--initial-branch", "main")
        opened._change("dbt_project.yml", "shop_flaky: true", "shop_flaky: false")
        opened._commit("The shop")
        opened._change(CHANGED, LINE, NEW_LINES)
        opened._commit("Add net revenue")
        return opened

    def git(self, *words: str) -> str:
        """What git says."""
        names = ("-c", "user.name=shop", "-c", "user.email=shop@example.com")
        done = subprocess.run(  # noqa: S603
            ["git", *names, *words],  # noqa: S607 - of the machine
            cwd=self.folder,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def _change(self, path: str, before: str, after: str) -> None:
        text = (self.folder / path).read_text(encoding="utf-8")
        if text.count(before) != 1:
            raise SystemExit(f"{path} has changed: {before!r} does not stand in it once")
        (self.folder / path).write_text(text.replace(before, after), encoding="utf-8")

    def _commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)


def _pull_request(folder: Path) -> None:
    comments_service = load("comments_service")
    project = PullRequest.opened(folder / "project")
    sha = project.git("rev-parse", "HEAD")
    with (
        comments_service.CommentsService() as comments,
        running_emulator(projects=[project.folder], state=folder / "emulator", strict=False) as emulator,
    ):
        comments.pull_request["head"]["sha"] = sha
        inputs = {"api-token": DEMO_TOKEN, "account-id": "1", "job-id": CI_JOB, "host": emulator.base_url}
        inputs |= {"github-token": comments_service.TOKEN, "pr-comment": "true"}
        inputs |= {"retry-delay": "0", "upload-artifact": "false"}
        context = {"API_URL": comments.url, "REPOSITORY": REPOSITORY, "EVENT_NAME": "pull_request", "SHA": sha}
        context |= {"WORKFLOW_REF": f"{REPOSITORY}/.github/workflows/dbt.yml@refs/pull/{NUMBER}/merge"}
        runner = Runner(folder=folder / "step", inputs=inputs, services={}, context=context)
        shutil.copytree(project.folder, runner.workspace)
        runner.prepare()
        head = {"number": NUMBER, "state": "open", **{name: comments.pull_request[name] for name in ("head", "base")}}
        event = {"action": "synchronize", "number": NUMBER, "pull_request": head}
        runner.file("event.json").write_text(json.dumps(event), encoding="utf-8")
        log = _log(runner)
    (comment,) = comments.comments
    (folder / "comment.md").write_text(comment.body, encoding="utf-8")
    (folder / "annotation.json").write_text(json.dumps(_annotation(log, project)), encoding="utf-8")


def _log(runner: Runner) -> str:
    """What the step writes; it fails, as it should."""
    done = subprocess.run(  # noqa: S603 - our own
        command(STEP), cwd=runner.workspace, env=runner.environment(), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 1:
        raise SystemExit(f"The step ended with {done.returncode}, not with 1:\n{done.stdout}")
    return done.stdout


def _annotation(log: str, project: PullRequest) -> dict[str, object]:
    """The error on the changed file, as the runner reads it, and the change that it is shown below."""
    errors = read_stream(log).named("error")
    (error,) = [one for one in errors if one.properties.get("file") == CHANGED and "line" in one.properties]
    diff = project.git("diff", "--unified=3", "HEAD~1", "HEAD", "--", CHANGED)
    return {**error.properties, "message": error.data, "hunk": diff[diff.index("@@") :].splitlines()}


# -- the command


def _terminal(folder: Path) -> bytes:
    """All that the command writes to a terminal while a run fails and its retry recovers."""
    workspace = folder / "workspace"
    shutil.copytree(SHIPPED_PROJECT, workspace, ignore=shutil.ignore_patterns("target", "logs", "dbt_packages"))
    program = Path(sys.executable).with_name("dbt-cloud-run")
    with running_emulator(state=folder / "emulator", strict=False) as emulator:
        variables = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "DBT_CLOUD_API_TOKEN": DEMO_TOKEN}
        words = [str(program), "--account-id", "1", "--host", emulator.base_url, "--job-id", BUILD_JOB]
        return _recorded([*words, "--retry-delay", "0"], workspace, variables)


def _recorded(words: Sequence[str], folder: Path, variables: dict[str, str]) -> bytes:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    hidden = ("INPUT_", "GITHUB_", "ACTIONS_", "RUNNER_", "DBT_")
    environment = {name: text for name, text in os.environ.items() if not name.startswith(hidden)} | variables
    with subprocess.Popen(  # noqa: S603 - our own
        words, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        pieces = []
        try:
            while piece := os.read(ours, 65536):
                pieces.append(piece)
        except OSError:
            # The command has ended, and the terminal with it.
            pass
        os.close(ours)
    if process.returncode != 0:
        raise SystemExit(f"The command ended with {process.returncode}:\n{b''.join(pieces).decode()}")
    return b"".join(pieces)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
