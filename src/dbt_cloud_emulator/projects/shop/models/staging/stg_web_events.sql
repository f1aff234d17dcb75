select
    event_id,
    customer_id,
    kind,
    occurred_at
from {{ source('raw', 'web_events') }}
