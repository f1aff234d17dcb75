select
    date_trunc('month', ordered_on) as month,
    sum(revenue) as revenue,
    sum(refunded) as refunded
from {{ ref('daily_revenue') }}
group by 1
