-- Six days of one event each, and eight hours of today of one each.
create schema ops;
create table ops.faults (node text, message text, batch text);
create schema raw;
create table raw.events as
  select i as id, timestamp '@FIRST_DAY@ 06:00:00' + interval (i) day as happened from range(0, 6) t(i)
  union all
  select 100 + i, timestamp '@FIRST_HOUR@' + interval (i) hour + interval 65 minute from range(0, 8) t(i);
