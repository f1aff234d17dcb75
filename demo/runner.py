"""GitHub's runner, as far as a container action sees it: its environment, its files, and how it reads the log."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import yaml

ROOT = Path(__file__).resolve().parent.parent
_COMMAND = re.compile(r"::(?P<name>[a-z-]+)(?: (?P<properties>[^:]*))?::(?P<data>.*)")
_FILES = ("output", "state", "step_summary", "env", "path")
# What a container action inherits when the runner stands behind a proxy or a private certificate authority.
_NETWORK = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def declared_defaults() -> dict[str, str]:
    """The defaults in action.yml; the expressions in it stand for nothing here, but for the position in a matrix."""
    inputs = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    texts = {name: str(entry.get("default", "")) for name, entry in inputs.items()}
    return {name: "" if text.startswith("${{") else text for name, text in texts.items()} | {"strategy-job-index": "0"}


def entries(text: str) -> dict[str, str]:
    """The `name=value` and `name<<delimiter` entries of a file by which a step answers."""
    found: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        if match := re.fullmatch(r"([^=]+?)<<(.+)", line):
            found[match[1]] = "\n".join(iter(lambda: next(lines), match[2]))
        elif "=" in line:
            name, _, found[name] = line.partition("=")
    return found


@dataclass
class Runner:
    """One job with one step. `folder` receives the workspace and the files by which the step answers."""

    folder: Path
    inputs: Mapping[str, str]
    services: Mapping[str, str]  # ACTIONS_RESULTS_URL and the like
    masks: set[str] = field(default_factory=set)

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def file(self, name: str) -> Path:
        return self.folder / "files" / name

    def environment(self) -> dict[str, str]:
        context = {
            "ACTION": "__self",
            "ACTOR": "demo",
            "API_URL": "https://api.github.com",
            "EVENT_NAME": "workflow_dispatch",
            "EVENT_PATH": str(self.file("event.json")),
            "JOB": "dbt",
            "REF": "refs/heads/main",
            "REPOSITORY": "example/shop",
            "RETENTION_DAYS": "90",
            "RUN_ATTEMPT": "1",
            "RUN_ID": "1000001",
            "RUN_NUMBER": "1",
            "SERVER_URL": "https://github.com",
            "SHA": "0" * 40,
            "WORKFLOW": "demo",
            "WORKSPACE": str(self.workspace),
        }
        return (
            {name: os.environ[name] for name in (*_NETWORK, *map(str.lower, _NETWORK)) if name in os.environ}
            | {"PATH": os.defpath, "HOME": str(self.folder / "home"), "CI": "true", "GITHUB_ACTIONS": "true"}
            | {f"GITHUB_{name}": value for name, value in context.items()}
            | {f"GITHUB_{name.upper()}": str(self.file(name)) for name in _FILES}
            | {"RUNNER_OS": "Linux", "RUNNER_TEMP": str(self.folder / "temp")}
            | dict(self.services)
            | {f"INPUT_{name.upper()}": value for name, value in (declared_defaults() | dict(self.inputs)).items()}
        )

    def prepare(self) -> None:
        for name in ("files", "home", "temp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            self.file(name).write_text("")
        self.file("event.json").write_text(json.dumps({"repository": {"default_branch": "main"}}))

    def run(self, script: str, state: Mapping[str, str] | None = None) -> int:
        """Run an entry point in the workspace, show its log, and give its exit status."""
        environment = self.environment() | {f"STATE_{name}": value for name, value in (state or {}).items()}
        command = [sys.executable, "-Iu", str(ROOT / script)]
        with subprocess.Popen(  # noqa: S603 - our own script
            command, cwd=self.workspace, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            # Ctrl-C reaches the action by itself, and it is the action that has to end.
            previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
            for line in process.stdout or ():
                self._show(line.rstrip("\n"))
            status = process.wait()
            signal.signal(signal.SIGINT, previous)
        return status

    def values(self, name: str) -> dict[str, str]:
        """What the step wrote into one of the files by which it answers."""
        return entries(self.file(name).read_text())

    _stopped_by: str | None = None

    def _show(self, line: str) -> None:
        command = _COMMAND.match(line.lstrip())
        if self._stopped_by is not None:
            if line.strip() == f"::{self._stopped_by}::":
                self._stopped_by = None
                return
            command = None
        if command is None:
            self._print(f"  {line}")
            return
        name, data = command["name"], unquote(command["data"])
        if name == "add-mask":
            self.masks.add(data)
        elif name == "stop-commands":
            self._stopped_by = data
        elif name == "group":
            self._print(f"▼ {data}")
        elif name in ("notice", "warning", "error"):
            place = f" [{unquote(command['properties'])}]" if command["properties"] else ""
            self._print(f"{name.capitalize()}: {data}{place}")

    def _print(self, text: str) -> None:
        for mask in self.masks:
            text = text.replace(mask, "***") if mask else text
        print(text, flush=True)
