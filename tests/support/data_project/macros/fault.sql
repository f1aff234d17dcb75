{% macro fault(name, batch=none) -%}
  (select case when exists (
      select 1 from ops.faults where node = '{{ name }}' and (batch is null or batch = '{{ batch }}')
    ) then error((select max(message) from ops.faults where node = '{{ name }}')) end) is null
{%- endmacro %}
