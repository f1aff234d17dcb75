"""The image: what each layer weighs compressed, and how long it takes from `docker run` to the first request.

    E2E_IMAGE=dbt-cloud-run:e2e python -m benchmarks.image [--rounds N] [--write]

Needs an engine and the image; `make e2e` has both, and calls it at its end.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import put

INPUTS = {"INPUT_API-TOKEN": "benchmark-token", "INPUT_ACCOUNT-ID": "1", "INPUT_JOB-ID": "1"}
# The Dockerfile's own layers, in its order.
OURS = ("its dependencies", "byte code of the standard library", "the action")


@dataclass(frozen=True)
class Layer:
    """One layer; sizes in bytes."""

    made_by: str
    size: int
    compressed: int


def docker(*arguments: str) -> list[str]:
    return [shutil.which("docker") or "docker", *arguments]


def layers(image: str, folder: Path) -> list[Layer]:
    """The image's layers, from the base upwards, compressed with gzip at its usual level."""
    archive = folder / "image.tar"
    subprocess.run(docker("save", "--output", str(archive), image), check=True)  # noqa: S603 - docker
    try:
        with tarfile.open(archive) as saved:
            manifest = json.load(saved.extractfile("manifest.json") or sys.stdin)[0]
            names = ["the base image"] * (len(manifest["Layers"]) - len(OURS)) + list(OURS)
            found = []
            for made_by, name in zip(names, manifest["Layers"], strict=True):
                content = (saved.extractfile(name) or sys.stdin.buffer).read()
                found.append(Layer(made_by, len(content), len(gzip.compress(content, 6))))
            return found
    finally:
        archive.unlink()


def seconds_to_first_request(image: str) -> float:
    """From `docker run` to the first connection that the action makes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        environment = INPUTS | {"INPUT_HOST": f"http://127.0.0.1:{server.getsockname()[1]}"}
        names = [part for name in environment for part in ("--env", name)]
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - docker
            docker("run", "--rm", "--network", "host", *names, image),
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            server.accept()[0].close()
            return time.perf_counter() - started
        finally:
            process.terminate()
            process.wait()


def seconds_of_the_engine(image: str) -> float:
    """What `docker run` takes by itself: a container of the same image that does nothing."""
    started = time.perf_counter()
    command = docker("run", "--rm", "--network", "host", "--entrypoint", "true", image)
    subprocess.run(command, check=True)  # noqa: S603 - docker
    return time.perf_counter() - started


def report(image: str, folder: Path, rounds: int) -> str:
    """Both measurements as markdown."""
    weighed = layers(image, folder)
    rows = [f"| {layer.made_by} | {_megabytes(layer.size)} | {_megabytes(layer.compressed)} |" for layer in weighed]
    size, compressed = (sum(getattr(layer, name) for layer in weighed) for name in ("size", "compressed"))
    rows.append(f"| **all** | {_megabytes(size)} | {_megabytes(compressed)} |")
    first = [seconds_to_first_request(image) for _ in range(rounds)]
    engine = [seconds_of_the_engine(image) for _ in range(rounds)]
    times = [
        f"| `docker run` to the first request | {statistics.median(first):.2f} | {min(first):.2f} |",
        f"| `docker run` of `true` in the same image | {statistics.median(engine):.2f} | {min(engine):.2f} |",
    ]
    return "\n".join(
        [
            "| layer | MB | MB compressed |",
            "| --- | ---: | ---: |",
            *rows,
            "",
            f"| {rounds} times | median s | least s |",
            "| --- | ---: | ---: |",
            *times,
        ]
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path, default=Path("build"))
    parser.add_argument("--write", action="store_true", help="put the tables in benchmarks/RESULTS.md, too")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    tables = report(os.environ["E2E_IMAGE"], options.folder, options.rounds)
    print(tables)
    if options.write:
        put("image", tables, with_peers=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
