{#
  Plays the part of the loader: fills the schema that the sources read, so that the project builds from an empty database.
  The web events were loaded just now, the refunds 30 hours ago: fresh, and older than the sources' warning limit.
#}
{% macro load_raw() %}
  {% set raw = target.schema ~ '_raw' %}
  {% set refunds_age = 'interval 10 day' if var('stale_source') else 'interval 30 hour' %}
  create schema if not exists {{ raw }};
  create schema if not exists {{ shop.ops_schema() }};
  create table if not exists {{ shop.ops_schema() }}.attempts (node varchar, attempt_key varchar, noted_at timestamp);
  create table if not exists {{ shop.ops_schema() }}.runs (invocation_id varchar, finished_at timestamp);
  create table if not exists {{ shop.ops_schema() }}.releases (label varchar, released_at timestamp);
  create or replace table {{ raw }}.web_events as
    select
      n as event_id,
      n % 12 + 1 as customer_id,
      ['view', 'view', 'cart', 'checkout'][n % 4 + 1] as kind,
      timestamp '2026-01-01' + to_hours(cast(n * 7 as integer)) as occurred_at,
      {{ shop.now_utc() }} as _loaded_at
    from generate_series(1, 48) as events(n);
  {% if var('missing_source') %}
    drop table if exists {{ raw }}.refunds;
  {% else %}
    create or replace table {{ raw }}.refunds as
      select
        order_id, amount_cents, {{ shop.now_utc() }} - {{ refunds_age }} as _loaded_at
      from (values (6, 6300), (14, 5200), (22, 1500)) as refunds(order_id, amount_cents);
  {% endif %}
{% endmacro %}


{#  Where the project keeps its own books: attempts, runs, releases.  #}
{% macro ops_schema() %}{{ return(target.schema ~ '_ops') }}{% endmacro %}


{#  DuckDB's `now()` has a time zone, and the machine's; dbt takes a bare timestamp for UTC.  #}
{% macro now_utc() %}{{ return("make_timestamp(epoch_us(now()))") }}{% endmacro %}
