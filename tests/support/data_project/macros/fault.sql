{% macro fault(name, batch=none) -%}
  {%- set told -%}
    from ops.faults where node = '{{ name }}' and (batch is null or batch = '{{ batch }}')
  {%- endset -%}
  (
    (select case when exists (select 1 {{ told }} and message not in ('hang', 'slow'))
      then error((select max(message) {{ told }})) end) is null
    and (select count(*) from
      (select coalesce(max(case message when 'hang' then 10000000000000 when 'slow' then 100000000 end), 0) as n {{ told }}) as f,
      range(f.n) as t(i)) >= 0
  )
{%- endmacro %}
