select
    customer_id,
    customer_name,
    order_count
from {{ ref('customers') }}
