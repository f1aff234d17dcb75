select band from {{ ref('price_bands') }} where from_price < 0
