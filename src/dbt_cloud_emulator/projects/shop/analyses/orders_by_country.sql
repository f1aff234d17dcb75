select country_code, sum(order_count) as order_count
from {{ ref('customers') }}
group by country_code
