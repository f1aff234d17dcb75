"""dbt Cloud over HTTP: one request each, typed errors, the rules of reading, and when to look at a run again."""
