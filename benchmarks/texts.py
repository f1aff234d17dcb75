"""The words of RESULTS.md around the tables."""

from __future__ import annotations

HEAD = """# Results

Written by `make bench`; [README.md](README.md) says what is measured and how. All that stands side by side was measured
in the same run, in turn."""

TITLES = {
    "publish": "Publish",
    "noticing": "Noticing the end",
    "start": "Start",
    "time_to_green": "Time to green",
    "retry": "Retry",
    "data": "Rows after a retry",
    "whole": "Whole",
    "image": "Image",
    "weights": "Sinks of emit",
}

INTRODUCTIONS = {
    "data": """
Nodes executed after the failure, hooks that dbt lists included; rows of all relations that are missing or too many,
compared with an undisturbed run. The cases are those of `tests/support/data_cases.py`. *Left out*: the retry says what
it does not repeat, and the step is an error.""",
    "image": """
What `docker pull` brings, layer by layer, and how long it takes from `docker run` to the first request; `make e2e`
prints the same. The base was a local stand-in for the official image, made of Debian's Python 3.13; like that, it
holds no byte code of the standard library.""",
    "weights": """
What each word of `emit` adds to the image: its own modules, and the packages that nothing else in the image needs, with
byte code, in one archive at gzip's usual level. Dagster's recipe adds nothing.""",
    "publish": """
From the answer to the last poll until the process has gone: artifacts downloaded, decoded, merged, zipped, uploaded
to a results service on loopback, outputs and reports written. The others do a part of that, with the same bytes from
the same https server. Medians of rounds after one that does not count; memory is the peak of the whole process
(prefect-dbt's server is another process, and not counted). Where `zipfile` alone is quick, what limits this action is
its report: judging, sorting and writing a row for every node is Python's work, on one core.""",
    "noticing": """
Simulated: calls / mean lag / 95th percentile of the lag. Usual lengths are log-normal with a spread of 0.12, the
history is 10 earlier draws; the short ones are uniform. A look that also reads the steps is the same one call. The job
has one step, so this action, which looks more often in a job's last step, does so all the time. Then the same on real
sockets: the action's own waiting against the emulator.""",
    "start": """
Process start to the first bytes that reach the host (an https one, so certificates are read), each in turn with the
bare imports; packages and byte code as in the image. Of the peers it is the imports alone: none of them has sent
anything yet.""",
    "retry": """
Real dbt on DuckDB, a fresh database for each; nodes fail at first, as in the demo. Executed are the nodes of all
attempts that were not skipped, hooks aside. dbtc and the hook of Airflow use dbt Cloud's own retry: `dbt retry`.""",
    "time_to_green": """
From the end of a run that failed for a transient reason (one model in 200, and the two nodes after each were skipped)
to the request that starts its retry. The whole action against a server on loopback, in real time, for a job without a
history; one sample each, since a lag depends on when the run ends between two looks. Then long runs: the lag of
noticing is simulated as above, with history, and reading what the run left and planning are as measured here, with no
delay.""",
    "whole": """
The demo's job, recorded on real dbt and replayed with fixed lengths: it fails, is retried, and succeeds. Shown is the
time from process start beyond that of the two dbt Cloud runs, with everybody's own polling interval, and no delay
before the retry. Rounds have different lengths, so that no interval fits by chance. This action reads the steps, with
their logs, now and then while a run goes on, to tell how far it is; that is what it reads more than prefect-dbt. Up to
the verdict, dbtc and Airflow's provider ask for less: they never look at what failed, since dbt Cloud decides what its
own retry repeats. This action has read the results of both runs by then, to retry exactly the nodes that did not
succeed, and to call nothing a success that it has not seen. Airflow's provider looks once a minute.""",
}
