"""dbt itself, pure and offline: its commands, artifacts, statuses, selection and failures. Knows neither dbt Cloud nor GitHub."""
