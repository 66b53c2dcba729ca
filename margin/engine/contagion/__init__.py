"""How one loss becomes another's: clearing of debts, sales into thin markets, and how fast to sell. Pure, float64.

`clearing` (Eisenberg-Noe 2001, Rogers-Veraart 2013), `fire_sales` (Cont-Schaanning 2017), `schedules` (Almgren-Chriss
2000). `margin.cascade` puts them to work on accounts: margin calls, forced sales and prices, round after round.
"""
