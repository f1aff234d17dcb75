{{ config(
    materialized='incremental', incremental_strategy='microbatch', event_time='happened',
    batch_size='hour', begin='@FIRST_HOUR@', lookback=1
) }}
select id, happened from {{ source('raw', 'events') }}
where {{ fault('hourly', model.batch.id if model.batch else none) }}
