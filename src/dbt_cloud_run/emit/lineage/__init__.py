"""OpenLineage's run events of a dbt Cloud job, made with the client's own typed values. Pure."""
