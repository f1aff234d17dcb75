{{ config(materialized='table') }}
select o.id, o.built_in from {{ ref('orders') }} o join {{ ref('others') }} using (id) where {{ fault('report') }}
