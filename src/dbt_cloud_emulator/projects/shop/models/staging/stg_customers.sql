select
    id as customer_id,
    name as customer_name,
    email,
    country_code,
    signed_up_on
from {{ ref('raw_customers') }}
