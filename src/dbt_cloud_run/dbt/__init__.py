"""dbt itself, pure and offline: commands, artifacts, statuses, selection, failures. Knows no dbt Cloud, no GitHub."""
