{{ config(materialized='table') }}
select count(*) as n from {{ ref('hourly_late') }}
