{#  On-run-end: one row for each run that came this far.  #}
{% macro note_run() %}
  insert into {{ shop.ops_schema() }}.runs
  select '{{ invocation_id }}', {{ 'no_such_column' if var('broken_hook') else shop.now_utc() }}
{% endmacro %}


{#  `dbt run-operation record_release --args '{label: spring}'`. Not idempotent: every call adds a row.  #}
{% macro record_release(label='unnamed') %}
  {% do run_query("create schema if not exists " ~ shop.ops_schema()) %}
  {% do run_query("create table if not exists " ~ shop.ops_schema() ~ ".releases (label varchar, released_at timestamp)") %}
  {% do run_query("insert into " ~ shop.ops_schema() ~ ".releases values ('" ~ label ~ "', " ~ shop.now_utc() ~ ")") %}
  {% do adapter.commit() %}
  {{ log("released " ~ label, info=true) }}
{% endmacro %}
