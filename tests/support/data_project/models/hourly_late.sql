{{ config(
    materialized='incremental', incremental_strategy='microbatch', event_time='happened',
    batch_size='hour', begin='@FIRST_HOUR@', lookback=1
) }}
-- depends_on: {{ ref('others') }}
select id, happened from {{ source('raw', 'events') }}
