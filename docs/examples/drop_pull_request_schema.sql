{% macro drop_pull_request_schema(schema) %}
  {% if not schema.startswith("dbt_cloud_pr_") %}
    {{ exceptions.raise_compiler_error("Only a schema of a pull request may be dropped, not " ~ schema) }}
  {% endif %}
  {% do adapter.drop_schema(api.Relation.create(database=target.database, schema=schema)) %}
{% endmacro %}
