"""GitHub, and nothing of dbt: workflow commands, the artifact service, comments, paths in the workspace."""
