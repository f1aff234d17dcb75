{% test not_null(model, column_name) %}
select * from {{ model }}
where {{ column_name }} is null or not {{ fault('not_null_' ~ model.identifier) }}
{% endtest %}
