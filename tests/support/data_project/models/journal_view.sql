{{ config(materialized='table') }}
select * from {{ ref('journal') }} where {{ fault('journal_view') }}
