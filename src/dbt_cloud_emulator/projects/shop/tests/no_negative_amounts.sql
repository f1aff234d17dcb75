-- The package retail_utils has a test of the same name.
select order_id from {{ ref('orders') }} where amount < 0
