select
    customer_id,
    customer_name,
    order_count,
    case
        when order_count = 0 then 'new'
        when lifetime_amount >= 150 then 'loyal'
        else 'regular'
    end as segment
from {{ ref('customers') }}
