select
    cast(day as date) as day,
    cast(month(day) in (11, 12) as boolean) as is_season
from generate_series(timestamp '2024-01-01', timestamp '2026-12-31', interval 1 day) as days(day)
