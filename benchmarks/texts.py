"""The words of RESULTS.md around the tables. The notes tell what limits a figure that misses its goal."""

from __future__ import annotations

HEAD = """# Results

Written by `make bench`; [README.md](README.md) says what is measured and how. All that stands side by side was measured
in the same run, in turn."""

INTRODUCTIONS = {
    "publish": (
        "Publish",
        "From the answer to the last poll until the process has gone: artifacts downloaded, decoded, merged, zipped, uploaded "
        "to a results service on loopback, outputs and reports written. The others do a part of that with the same bytes "
        "from the same https server. Median of three rounds after one that does not count; memory is the peak of the "
        "whole process. prefect-dbt's server process is not counted in its memory.",
    ),
    "noticing": (
        "Noticing the end",
        "Simulated: calls / mean lag / 95th percentile of the lag. Usual lengths are log-normal with a spread of 0.12, the "
        "history is 10 earlier draws; the short ones are uniform. A look that also reads the steps is the same one call. "
        "Then the same on real sockets: the action's own waiting against the emulator.",
    ),
    "start": (
        "Start",
        "Process start to the first bytes that reach the host (an https one, so certificates are read), each in turn with "
        "the bare imports; packages and byte code as in the image.",
    ),
    "retry": (
        "Retry",
        "Real dbt on DuckDB, a fresh database for each; `orders` fails at first, as in the demo. Executed are the nodes of all "
        "attempts that were not skipped, hooks aside. dbtc and Airflow's hook use dbt Cloud's own retry, which is `dbt retry`.",
    ),
    "whole": (
        "Whole",
        "The demo's job, recorded on real dbt and replayed with fixed lengths: it fails, is retried, and succeeds. What is "
        "shown is the time from process start beyond the time of the two dbt Cloud runs, with everybody's own polling "
        "interval and no delay before the retry. Rounds have different lengths, so that no interval fits by chance.",
    ),
}

NOTES = dict.fromkeys(INTRODUCTIONS, "")
