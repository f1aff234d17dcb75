{{ config(
    materialized='incremental', incremental_strategy='microbatch', event_time='happened',
    batch_size='day', begin='@FIRST_DAY@', lookback=1
) }}
select id, happened from {{ source('raw', 'events') }}
where {{ fault('daily', model.batch.id if model.batch else none) }}
