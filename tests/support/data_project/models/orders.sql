{{ config(materialized='table') }}
select
  case when exists (select 1 from ops.faults where node = 'nulls') and '{{ target.schema }}' = 'main'
    then null else id end as id,
  '{{ target.schema }}' as built_in
from {{ source('raw', 'events') }} where {{ fault('orders') }}
