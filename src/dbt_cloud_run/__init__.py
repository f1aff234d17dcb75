"""Run a dbt Cloud job from a GitHub workflow."""

__version__ = "1.0.0"
