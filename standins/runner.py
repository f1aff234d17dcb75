"""GitHub's runner, as far as a container action sees it: its environment, and the files by which a step answers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from standins.runner_log import read_environment_file

ROOT = Path(__file__).resolve().parent.parent
STEP, POST = "entrypoint.py", "post_entrypoint.py"
FILES = ("output", "state", "step_summary", "env", "path")
# What a container action inherits when the runner stands behind a proxy or a private certificate authority.
NETWORK = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
CONTEXT = {
    "ACTION": "__self",
    "ACTOR": "octocat",
    "API_URL": "https://api.github.com",
    "EVENT_NAME": "workflow_dispatch",
    "JOB": "dbt",
    "REF": "refs/heads/main",
    "REPOSITORY": "acme/shop",
    "RETENTION_DAYS": "90",
    "RUN_ATTEMPT": "1",
    "RUN_ID": "4242",
    "RUN_NUMBER": "12",
    "SERVER_URL": "https://github.com",
    "SHA": "1" * 40,
    "WORKFLOW": "nightly",
}


def declared_defaults() -> dict[str, str]:
    """The defaults in action.yml; the expressions in it stand for nothing here, but for the position in a matrix."""
    inputs = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["inputs"]
    texts = {name: str(entry.get("default", "")) for name, entry in inputs.items()}
    return {name: "" if text.startswith("${{") else text for name, text in texts.items()} | {"strategy-job-index": "0"}


def input_variables(inputs: Mapping[str, str]) -> dict[str, str]:
    """Inputs as the variables by which the runner hands them over: upper case, dashes kept."""
    return {f"INPUT_{name.upper()}": value for name, value in inputs.items()}


def state_variables(state: Mapping[str, str]) -> dict[str, str]:
    """The state that a step has saved, as its post step gets it."""
    return {f"STATE_{name}": value for name, value in state.items()}


def command(script: str) -> list[str]:
    """The command line of an entry point of this repository."""
    return [sys.executable, "-Iu", str(ROOT / script)]


@dataclass(frozen=True)
class Places:
    """Where a step finds what the runner gives it: paths as the step sees them. `files` are by their names in FILES."""

    workspace: str
    home: str
    temp: str
    event: str
    files: Mapping[str, str]

    @classmethod
    def below(cls, folder: Path, files: Path) -> Places:
        """Those of a job in `folder`, one step of which answers in the folder `files`."""
        return cls(
            workspace=str(folder / "workspace"),
            home=str(folder / "home"),
            temp=str(folder / "temp"),
            event=str(files / "event.json"),
            files={name: str(files / name) for name in FILES},
        )


def environment(
    places: Places, services: Mapping[str, str] | None = None, context: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What a container action gets, without its inputs. `context` changes GITHUB_* variables, named without it."""
    github = CONTEXT | {"EVENT_PATH": places.event, "WORKSPACE": places.workspace} | dict(context or {})
    return {
        "PATH": os.defpath,
        "HOME": places.home,
        "LANG": "C.UTF-8",
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "RUNNER_OS": "Linux",
        "RUNNER_TEMP": places.temp,
        **{f"GITHUB_{name}": value for name, value in github.items()},
        **{f"GITHUB_{name.upper()}": path for name, path in places.files.items()},
        **(services or {}),
    }


@dataclass
class Runner:
    """One job with one step, whose inputs have the defaults of action.yml. `folder` receives all of its files."""

    folder: Path
    inputs: Mapping[str, str]
    services: Mapping[str, str]  # ACTIONS_RESULTS_URL and the like
    context: Mapping[str, str] = field(default_factory=dict)

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def file(self, name: str) -> Path:
        """A file by which the step answers: one of FILES."""
        return self.folder / "files" / name

    def prepare(self) -> None:
        """Make the folders and files that a step finds; the workspace is the caller's."""
        for name in ("files", "home", "temp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name in FILES:
            self.file(name).write_text("")
        self.file("event.json").write_text(json.dumps({"repository": {"default_branch": "main"}}))

    def environment(self) -> dict[str, str]:
        """The environment of the step, with the network's variables of this process."""
        inherited = {name: os.environ[name] for name in (*NETWORK, *map(str.lower, NETWORK)) if name in os.environ}
        inputs = declared_defaults() | dict(self.inputs)
        places = Places.below(self.folder, self.folder / "files")
        return inherited | environment(places, self.services, self.context) | input_variables(inputs)

    def values(self, name: str) -> dict[str, str]:
        """What the step wrote into one of its files."""
        return read_environment_file(self.file(name))
