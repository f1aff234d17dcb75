{% test in_order(model, column_name, other) %}
  select * from {{ model }} where {{ column_name }} >= {{ other }}
{% endtest %}
