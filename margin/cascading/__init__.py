"""The cascade radar: whom a shock calls, what they must sell, what that does to prices, and whom that calls."""
