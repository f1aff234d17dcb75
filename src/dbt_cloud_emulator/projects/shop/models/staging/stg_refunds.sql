select
    order_id,
    amount_cents / 100.0 as refunded
from {{ source('raw', 'refunds') }}
