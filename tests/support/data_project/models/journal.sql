{{ config(materialized='incremental') }}
select count(*) as n from {{ ref('orders') }} where {{ fault('journal') }}
