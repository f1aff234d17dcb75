"""A step in the exact form in which GitHub's runner starts a container action, and ends it on a cancel."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from standins.runner import Places, declared_defaults, environment, input_variables, state_variables
from standins.runner_log import read_environment_file

# Inside of the container, as the runner mounts them.
FILES = {
    "output": "set_output_",
    "state": "save_state_",
    "step_summary": "step_summary_",
    "env": "set_env_",
    "path": "add_path_",
}
MAIN, POST = "/opt/dbt-cloud-run/app/entrypoint.py", "/opt/dbt-cloud-run/app/post_entrypoint.py"
DOCKER_SOCKET = "/var/run/docker.sock"
INTERRUPT_SECONDS = 7.5  # from SIGINT to SIGTERM
TERMINATE_SECONDS = 2.5  # from SIGTERM to SIGKILL of the client


@dataclass
class ContainerStep:
    """One step of a job whose runner keeps its files in `folder`. The only deviation: the host's network."""

    image: str
    folder: Path
    inputs: Mapping[str, str]
    services: Mapping[str, str]
    name: str = field(default_factory=lambda: f"dbt-cloud-run-e2e-{uuid.uuid4().hex[:12]}")

    def __post_init__(self) -> None:
        for name in ("workspace", "temp/_github_home", "temp/_github_workflow", "temp/_runner_file_commands"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "temp/_github_workflow/event.json").write_text("{}")
        self._suffix = uuid.uuid4().hex
        for prefix in FILES.values():
            self._file(prefix).touch()

    def _file(self, prefix: str) -> Path:
        return self.folder / "temp/_runner_file_commands" / f"{prefix}{self._suffix}"

    def answers(self, name: str) -> dict[str, str]:
        """What the step wrote into its `output` or `state`."""
        return read_environment_file(self._file(FILES[name]))

    @property
    def summary(self) -> str:
        return self._file(FILES["step_summary"]).read_text()

    def environment(self) -> dict[str, str]:
        places = Places(
            workspace="/github/workspace",
            home="/github/home",
            temp="/github/runner_temp",
            event="/github/workflow/event.json",
            files={name: f"/github/file_commands/{prefix}{self._suffix}" for name, prefix in FILES.items()},
        )
        inherited = environment(places, self.services, {"EVENT_NAME": "push", "REPOSITORY": "example/shop"})
        # PATH and LANG are the image's own; the two others are named without a value to take, as the runner does it.
        hidden = ("PATH", "LANG", "GITHUB_ACTIONS", "CI")
        own = {name: value for name, value in inherited.items() if name not in hidden}
        return input_variables(declared_defaults() | dict(self.inputs)) | own

    def start(self, entrypoint: str, state: Mapping[str, str] | None = None) -> RunningStep:
        variables = self.environment() | state_variables(state or {})
        temp, name = self.folder / "temp", f"{self.name}-{Path(entrypoint).stem}"
        mounts = {
            os.environ.get("DOCKER_HOST", "").removeprefix("unix://") or DOCKER_SOCKET: DOCKER_SOCKET,
            str(temp): "/github/runner_temp",
            str(temp / "_github_home"): "/github/home",
            str(temp / "_github_workflow"): "/github/workflow",
            str(temp / "_runner_file_commands"): "/github/file_commands",
            str(self.folder / "workspace"): "/github/workspace",
        }
        command = [shutil.which("docker") or "docker", "run", "--name", name, "--label", self._suffix[:6]]
        command += ["--workdir", "/github/workspace", "--rm", "--network", "host"]
        command += [part for key in variables for part in ("-e", key)]
        command += ["-e", "GITHUB_ACTIONS=true", "-e", "CI=true", "--entrypoint", entrypoint]
        command += [part for host, inside in mounts.items() for part in ("-v", f"{host}:{inside}")]
        process = subprocess.Popen(  # noqa: S603 - the runner's own command line
            [*command, self.image],
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return RunningStep(process, name)


class RunningStep:
    """A started container; its log is read all the time, as the runner does."""

    def __init__(self, process: subprocess.Popen[str], name: str) -> None:
        self.process, self.name = process, name
        self.started = time.monotonic()
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self.process.stdout or open(os.devnull) as stream:  # noqa: PTH123
            self._lines.extend(stream)

    @property
    def log(self) -> str:
        return "".join(self._lines)

    def wait(self, timeout: float = 180) -> int:
        status = self.process.wait(timeout)
        self._reader.join(5)
        print(self.log)
        return status

    def cancel(self) -> int:
        """End it as the runner does: SIGINT, 7.5 s, SIGTERM, 2.5 s, SIGKILL of the client; gives its status."""
        for signum, patience in ((signal.SIGINT, INTERRUPT_SECONDS), (signal.SIGTERM, TERMINATE_SECONDS)):
            self.process.send_signal(signum)
            try:
                return self.wait(patience)
            except subprocess.TimeoutExpired:
                continue
        self.process.kill()
        return self.wait()

    def is_up(self) -> bool:
        """Whether the container still runs; it can outlive the client."""
        listing = ["docker", "ps", "--quiet", "--filter", f"name=^{self.name}$"]
        return bool(subprocess.run(listing, check=True, capture_output=True, text=True).stdout.strip())  # noqa: S603

    def wait_until_down(self, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while self.is_up():
            assert time.monotonic() < deadline, f"{self.name} still runs after {seconds} s"
            time.sleep(0.1)

    def signal(self, name: str) -> None:
        """Send a signal to the container's first process, past the client."""
        subprocess.run(["docker", "kill", "--signal", name, self.name], check=True, capture_output=True)  # noqa: S603, S607

    def kill(self) -> None:
        """Kill the container at once, as a machine that goes away does."""
        self.signal("KILL")
        self.wait()
