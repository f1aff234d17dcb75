select
    customer_id,
    cast(occurred_at as date) as day,
    count(*) as event_count,
    bool_or(kind = 'checkout') as checked_out
from {{ ref('stg_web_events') }}
group by all
