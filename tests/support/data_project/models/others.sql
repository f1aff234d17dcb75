{{ config(materialized='table') }}
select id from {{ source('raw', 'events') }} where {{ fault('others') }}
