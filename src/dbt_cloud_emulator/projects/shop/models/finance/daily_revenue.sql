{{ config(materialized='incremental', unique_key='ordered_on', on_schema_change='fail') }}

select
    ordered_on,
    sum(amount) as revenue,
    sum(refunded) as refunded
from {{ ref('orders') }}
{% if is_incremental() %}
where ordered_on >= (select max(ordered_on) from {{ this }})
{% endif %}
group by ordered_on
