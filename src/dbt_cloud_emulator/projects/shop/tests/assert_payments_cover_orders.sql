-- A completed order has been paid in full.
select order_id, amount, paid
from {{ ref('orders') }}
where status = 'completed' and paid < amount
