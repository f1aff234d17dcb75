{{ config(materialized='table') }}
select happened, count(*) as n from {{ ref('daily') }} where {{ fault('daily_child') }} group by all
