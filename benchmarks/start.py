"""From the start of the process to its first bytes on the wire, against the bare imports of a client."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from pathlib import Path

from standins.runner import Runner

from benchmarks import installs
from benchmarks.measure import ROOT, Measured, Spread, environment, measured, table
from benchmarks.server import TOKEN
from dbt_cloud_run.network.certificates import CA_FILES, CA_FOLDERS

BASELINE = "import httpx, pydantic; httpx.AsyncClient()"
GOAL = 1.3


def first_bytes() -> float:
    """Seconds from the start of the action to the first bytes that arrive at the host, which is an https one."""
    python, entrypoint = installs.action()
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"https://127.0.0.1:{listener.getsockname()[1]}"
        inputs = {"api-token": TOKEN, "account-id": "1", "job-id": "1001", "host": host}
        runner = Runner(folder=Path(folder), inputs=inputs, services={})
        runner.prepare()
        runner.workspace.mkdir()
        # As on GitHub's runners, and as the bare imports have it: no authorities besides the public ones.
        env = {name: value for name, value in runner.environment().items() if name not in (*CA_FILES, *CA_FOLDERS)}
        began = time.monotonic()
        with subprocess.Popen(  # noqa: S603 - our own
            [python, "-Iu", entrypoint], env=env, cwd=runner.workspace, stdout=subprocess.DEVNULL
        ) as process:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1)
                seconds = time.monotonic() - began
                process.kill()
    return seconds


def bare(python: Path, code: str, *flags: str) -> Measured:
    return measured([python, *flags, "-c", code], env=environment(DO_NOT_TRACK="1"), cwd=ROOT / "build")


def report(rounds: int = 15) -> str:
    """The table in markdown."""
    python, _ = installs.action()
    ours, base = [], []
    peers: dict[str, list[float]] = {peer.name: [] for peer in installs.PEERS}
    for number in range(rounds + 1):
        seconds, reference = first_bytes(), bare(python, BASELINE, "-I").seconds
        if number:
            ours.append(seconds)
            base.append(reference)
    for peer in installs.PEERS:
        interpreter, _ = installs.peer(peer.name)
        for number in range(4 if interpreter else 0):
            assert interpreter is not None
            seconds = bare(interpreter, peer.imports).seconds
            if number:
                peers[peer.name].append(seconds)
    middle = Spread.of(base).middle
    rows = [
        [
            "this action: to its first bytes on the wire",
            Spread.of(ours).text(),
            f"{Spread.of(ours).middle / middle:.2f}",
        ],
        [f"`python -c '{BASELINE}'`", Spread.of(base).text(), "1.00"],
    ]
    for peer in installs.PEERS:
        times, said = peers[peer.name], installs.peer(peer.name)[1]
        rows.append(
            [f"{said}: its imports alone", Spread.of(times).text(), f"{Spread.of(times).middle / middle:.1f}"]
            if times
            else [peer.name, said, "–"]
        )
    ratios = sorted(mine / reference for mine, reference in zip(ours, base, strict=True))
    middle = ratios[len(ratios) // 2]
    verdict = f"The median of the {rounds} ratios of neighbouring runs is {middle:.2f} (goal: at most {GOAL})."
    return table(("", "seconds (least to most)", "÷ bare imports"), rows) + f"\n{verdict}\n"
