select
    o.order_id,
    o.customer_id,
    o.product_id,
    o.ordered_on,
    o.status,
    o.channel,
    o.quantity * p.price as amount,
    coalesce(pay.paid, 0) as paid,
    coalesce(r.refunded, 0) as refunded
from {{ ref('stg_orders') }} as o
inner join {{ ref('stg_products') }} as p using (product_id)
left join {{ ref('int_order_payments') }} as pay using (order_id)
left join {{ ref('stg_refunds') }} as r using (order_id)
