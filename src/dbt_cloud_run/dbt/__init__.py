"""dbt itself, pure and offline: commands, artifacts, statuses, selection, failures. Knows neither dbt Cloud nor GitHub."""
