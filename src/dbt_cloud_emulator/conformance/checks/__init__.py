"""One check for each belief, by subject."""

from dbt_cloud_emulator.conformance.checks import answers, artifacts, definitions, retries, runs, steps, writes

__all__ = ["answers", "artifacts", "definitions", "retries", "runs", "steps", "writes"]
