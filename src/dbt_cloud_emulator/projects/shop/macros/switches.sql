{#
  The failures that this project can be asked for; README.md lists the variables.
  A variable that names nodes takes one name, or a list of names.
#}
{% macro is_named(variable, node) %}
  {% set wanted = var(variable) %}
  {% set wanted = [wanted] if wanted is string else (wanted or []) %}
  {{ return(node.name in wanted or node.unique_id in wanted) }}
{% endmacro %}


{% macro is_flaky(node) %}{{ return(var('shop_flaky') and shop.is_named('flaky_model', node)) }}{% endmacro %}


{#
  Counts this attempt at the node, then fails in the database while there were no more than `flaky_times` of them.
  The insert commits by itself: the error that follows does not take it back.
#}
{% macro flaky_statements(node) %}
  {% set attempts %}
    (select count(*) from {{ shop.ops_schema() }}.attempts
     where node = '{{ node.unique_id }}' and attempt_key = '{{ var("flaky_key") }}')
  {% endset %}
  insert into {{ shop.ops_schema() }}.attempts
    values ('{{ node.unique_id }}', '{{ var("flaky_key") }}', {{ shop.now_utc() }});
  select case when {{ attempts }} <= {{ var('flaky_times') | int }} then
    error('IO Error: Could not read the export for {{ node.name }}: Connection reset by peer (attempt ' || {{ attempts }} || ')')
  end
{% endmacro %}


{#  The pre-hook of every model, seed and snapshot. Empty unless a switch names the node.  #}
{% macro node_switches() %}
  {% if shop.is_named('slow_model', model) and var('slow_seconds') | float > 0 %}
    select sleep_ms({{ (var('slow_seconds') | float * 1000) | int }});
  {% endif %}
  {% if shop.is_named('broken_model', model) %}
    select column_that_was_dropped from (select 1 as id) as upstream;
  {% endif %}
  {% if shop.is_flaky(model) %}
    {{ shop.flaky_statements(model) }};
  {% endif %}
{% endmacro %}


{#  The same for what has no hooks: data tests and unit tests. Run before the test's own query.  #}
{% macro test_switches() %}
  {% if execute %}
    {% if shop.is_named('slow_model', model) and var('slow_seconds') | float > 0 %}
      {% call statement('slow', auto_begin=false) %}
        select sleep_ms({{ (var('slow_seconds') | float * 1000) | int }})
      {% endcall %}
    {% endif %}
    {% if shop.is_named('broken_model', model) %}
      {% call statement('broken', auto_begin=false) %}
        select column_that_was_dropped from (select 1 as id) as upstream
      {% endcall %}
    {% endif %}
    {% if shop.is_flaky(model) %}
      {% call statement('flaky', auto_begin=false) %}{{ shop.flaky_statements(model) }}{% endcall %}
    {% endif %}
  {% endif %}
{% endmacro %}


{#  `failing_test: true` is meant for this project's own singular test, a name for that test.  #}
{% macro is_failing(node) %}
  {% if var('failing_test') is sameas true %}
    {{ return(node.name == 'assert_payments_cover_orders') }}
  {% endif %}
  {{ return(shop.is_named('failing_test', node)) }}
{% endmacro %}


{% macro duckdb__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) %}
  {% do shop.test_switches() %}
  {% if shop.is_failing(model) %}
    {% set main_sql = 'select 1 as broken_row from generate_series(1, 3)' %}
    {% set fail_calc = 'count(*)' %}
  {% endif %}
  {{ return(dbt.default__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit)) }}
{% endmacro %}


{% macro duckdb__get_unit_test_sql(main_sql, expected_fixture_sql, expected_column_names) %}
  {% do shop.test_switches() %}
  {% if shop.is_failing(model) %}
    {% set main_sql = 'select * from (' ~ main_sql ~ ') where false' %}
  {% endif %}
  {{ return(dbt.default__get_unit_test_sql(main_sql, expected_fixture_sql, expected_column_names)) }}
{% endmacro %}
