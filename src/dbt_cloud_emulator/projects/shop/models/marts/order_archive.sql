{{
    config(
        materialized='incremental',
        incremental_strategy='microbatch',
        event_time='ordered_on',
        batch_size='year',
        begin='2024-01-01',
        lookback=1,
    )
}}

select
    order_id,
    customer_id,
    ordered_on,
    status
    {%- if model.batch and model.batch.event_time_start.strftime('%Y') == var('broken_batch') | string %},
    column_that_was_dropped
    {%- endif %}
from {{ ref('stg_orders') }}
