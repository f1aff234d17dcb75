"""Lineage as OpenLineage's run events, through the standard's own client: with its configuration, and its transports.

The client sends one event at a time and blocks, so several of them work at once, in threads. Nothing waits for
the threads when the time is up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Final
from urllib.parse import urlsplit

from openlineage.client.client import OpenLineageClient
from openlineage.client.event_v2 import RunEvent
from openlineage.client.facet_v2 import parent_run
from openlineage.client.transport.http import HttpTransport

from dbt_cloud_run import __version__
from dbt_cloud_run.clock import Clock
from dbt_cloud_run.dbt.columns import read_columns
from dbt_cloud_run.emit.emission import Emission
from dbt_cloud_run.emit.lineage.datasets import namespace_of
from dbt_cloud_run.emit.lineage.runs import Group, Lineage, Naming
from dbt_cloud_run.emit.sink import NotSentError, Progress
from dbt_cloud_run.network.certificates import ca_bundle
from dbt_cloud_run.network.proxies import proxy_for
from dbt_cloud_run.threads import in_thread

_CLIENTS: Final = 4
_MOST_REFUSED: Final = 20
"""Events that a server may refuse one by one, before the others are not tried any more."""


async def send(emission: Emission, environ: Mapping[str, str], clock: Clock, progress: Progress) -> None:
    """Send the run events of the job and of its nodes.

    The client itself reads the variables of its configuration (`OPENLINEAGE_URL`, …) in the process's environment.
    """
    _require_transport(environ)
    progress.place = f"OpenLineage ({_host(environ)})"
    lineage = await asyncio.to_thread(_lineage, emission, environ)
    groups = await asyncio.to_thread(lambda: list(lineage.nodes()))
    first, last = lineage.begin(), lineage.end()
    progress.total = 2 + sum(map(len, groups))
    sending = _Sending(progress)
    try:
        with _authorities(environ) as bundle:
            await sending.all([(first,)], bundle, 1)
            await sending.all(groups, bundle, _CLIENTS)
            await sending.all([(last,)], bundle, 1)
    finally:
        sending.stop.set()
    if sending.refused:
        raise NotSentError(f"The server refused {len(sending.refused)} of them: {sending.refused[0]}")


def naming_of(emission: Emission, environ: Mapping[str, str]) -> Naming:
    """The names, by the variables that openlineage-dbt reads, too. Raises `NotSentError`."""
    newest = emission.manifests.newest
    adapter = newest.metadata.adapter_type if newest is not None else None
    if not adapter:
        raise NotSentError("There is no manifest that names the adapter, so the datasets cannot be named.")
    repository = environ.get("GITHUB_ACTION_REPOSITORY", "").strip()
    server = environ.get("GITHUB_SERVER_URL", "").strip() or "https://github.com"
    return Naming(
        producer=f"{server}/{repository}" if repository else f"urn:dbt-cloud-run:{__version__}",
        job_namespace=environ.get("OPENLINEAGE_NAMESPACE", "").strip() or "dbt",
        job_name=environ.get("OPENLINEAGE_DBT_JOB_NAME", "").strip() or f"dbt-cloud-job-{emission.job_id}",
        dataset_namespace=namespace_of(adapter, environ),
        parent=_outer_parent(environ),
    )


def _lineage(emission: Emission, environ: Mapping[str, str]) -> Lineage:
    naming = naming_of(emission, environ)
    return Lineage(emission, naming, read_columns(emission.manifest_file, emission.catalog_file))


def _outer_parent(environ: Mapping[str, str]) -> parent_run.ParentRunFacet | None:
    """The run that has started this job, by `OPENLINEAGE_PARENT_ID` and `OPENLINEAGE_ROOT_PARENT_ID`."""
    parent, root = (_reference(environ, name) for name in ("OPENLINEAGE_PARENT_ID", "OPENLINEAGE_ROOT_PARENT_ID"))
    if parent is None:
        return None
    root = root or parent
    return parent_run.ParentRunFacet(
        run=parent_run.Run(runId=parent[2]),
        job=parent_run.Job(namespace=parent[0], name=parent[1]),
        root=parent_run.Root(
            run=parent_run.RootRun(runId=root[2]), job=parent_run.RootJob(namespace=root[0], name=root[1])
        ),
    )


def _reference(environ: Mapping[str, str], name: str) -> tuple[str, str, str] | None:
    text = environ.get(name, "").strip()
    if not text:
        return None
    parts = text.rsplit("/", 2)
    try:
        parent_run.Run(runId=parts[-1])
    except ValueError:
        parts = []
    if len(parts) != 3:
        raise NotSentError(f"{name} must have the form <namespace>/<job name>/<run id>, with a UUID as run id.")
    return parts[0], parts[1], parts[2]


# -- the client


class _Client(OpenLineageClient):
    """The client, without the configuration file that it would look for in the working directory.

    That is the workspace: in a run for a pull request it holds files of the pull request's author, and one of them
    would say where the events, and the key, are sent.
    """

    @staticmethod
    def _find_yaml_config_path() -> str | None:
        return os.environ.get("OPENLINEAGE_CONFIG") or None


def _require_transport(environ: Mapping[str, str]) -> None:
    """Without a configuration, the client would print the events."""
    is_configured = any(
        environ.get(name, "").strip() for name in ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE_DISABLED")
    ) or any(name.startswith("OPENLINEAGE__TRANSPORT__") for name in environ)
    if not is_configured:
        raise NotSentError(
            "OPENLINEAGE_URL is not set. Set it in the environment of this step to the address of the server, such as "
            "https://marquez.example.com, and OPENLINEAGE_API_KEY where it asks for a key."
        )


def _host(environ: Mapping[str, str]) -> str:
    with contextlib.suppress(ValueError):
        return urlsplit(environ.get("OPENLINEAGE_URL", "").strip()).hostname or "as configured"
    return "as configured"


@contextlib.contextmanager
def _authorities(environ: Mapping[str, str]) -> Iterator[str | None]:
    """The path of a file with the certificates that the environment names; None where it names none."""
    bundle = ca_bundle(environ)
    if bundle is None:
        yield None
        return
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(bundle)
        file.flush()
        yield file.name


class _Sending:
    """Events on their way, by several clients at once. It holds state, since threads share it: who stops, and why."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.stop = threading.Event()
        self.refused: list[str] = []
        self._lock = threading.Lock()

    async def all(self, groups: Sequence[Group], bundle: str | None, clients: int) -> None:
        """Send these runs; the events of each in their order. Raises `NotSentError` where sending on makes no sense."""
        queue: SimpleQueue[Group] = SimpleQueue()
        for group in groups:
            queue.put(group)
        workers = [
            in_thread(lambda: self._work(queue, bundle), "openlineage") for _ in range(min(clients, len(groups)))
        ]
        await asyncio.gather(*workers)

    def _work(self, queue: SimpleQueue[Group], bundle: str | None) -> None:
        client = _client(bundle)
        try:
            with contextlib.suppress(Empty):
                while not self.stop.is_set():
                    self._send(client, queue.get_nowait())
        except NotSentError:
            self.stop.set()
            raise
        finally:
            client.close(0)

    def _send(self, client: OpenLineageClient, group: Iterable[RunEvent]) -> None:
        for event in group:
            if self.stop.is_set():
                return
            try:
                client.emit(event)
            except Exception as error:
                self._refused(error)
            else:
                with self._lock:
                    self.progress.sent += 1

    def _refused(self, error: Exception) -> None:
        """One event that the server does not take costs that event; all else would cost every one."""
        status = getattr(getattr(error, "response", None), "status_code", None)
        words = " ".join(str(error).split())[:300] or type(error).__name__
        with self._lock:
            self.refused.append(words)
            is_final = status not in (400, 413, 422) or len(self.refused) > _MOST_REFUSED
        if is_final:
            raise NotSentError(words) from error


def _client(bundle: str | None) -> OpenLineageClient:
    """A client. Raises `NotSentError` for its configuration, and `ConfigError` for a proxy that cannot be used."""
    try:
        client = _Client()
    except Exception as error:
        raise NotSentError(f"The client's configuration cannot be used: {type(error).__name__}: {error}") from error
    transport = client.transport
    if isinstance(transport, HttpTransport):
        # A proxy variable that cannot be parsed is an error here: the client's own would quote the password.
        proxy_for(transport.url, os.environ)
    if bundle is not None and isinstance(transport, HttpTransport) and transport.verify is True:
        transport.verify = bundle
    return client
