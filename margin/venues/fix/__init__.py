"""FIX 4.4, the side that calls: framing, session, orders and reports (docs/venues.md)."""
