select
    id as order_id,
    customer_id,
    product_id,
    quantity,
    ordered_on,
    status,
    channel
from {{ ref('raw_orders') }}
