select *
from (values ('low', 0, 20), ('middle', 20, 40), ('high', 40, 1000)) as bands(band, from_price, to_price)
