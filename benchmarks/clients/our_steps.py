"""The memory of a run whose steps all report the same nodes: results decoded, judged and merged, as in the step.

python our_steps.py RUN_RESULTS STEPS
"""

import gc
import resource
import sys
import tempfile
from pathlib import Path

from dbt_cloud_run.dbt.results import decode_run_results
from dbt_cloud_run.endings import Ending
from dbt_cloud_run.ledger.outcome import build_outcome
from dbt_cloud_run.model import Attempt, RunState, Step
from dbt_cloud_run.report.files import write_merged_run_results

gc.set_threshold(500_000, 50, 1_000)  # as the entry point does


def main(path: Path, count: int) -> None:
    steps = tuple(
        Step(
            index=4 + n,
            name="dbt build",
            command="dbt build",
            state=RunState.SUCCESS,
            results=decode_run_results(path)[1],
        )
        for n in range(count)
    )
    attempt = Attempt(
        number=1, run_id=1, run_url="", job_id=1, state=RunState.SUCCESS, ending=Ending.SUCCESS, steps=steps
    )
    outcome = build_outcome([attempt])
    with tempfile.TemporaryDirectory() as folder:
        rows = write_merged_run_results(Path(folder) / "run_results.json", outcome.ledger, [attempt])
    print(f"nodes {rows}\npeak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}")


main(Path(sys.argv[1]), int(sys.argv[2]))
