select
    c.customer_id,
    c.customer_name,
    c.country_code,
    count(o.order_id) as order_count,
    coalesce(sum(o.amount), 0) as lifetime_amount,
    max(o.ordered_on) as last_ordered_on
from {{ ref('stg_customers') }} as c
left join {{ ref('orders') }} as o using (customer_id)
group by all
