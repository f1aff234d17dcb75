select count(*) as n from {{ ref('hourly') }}
