"""The trial: books of 2008 and of a bitcoin lender played through the house on recorded prices (docs/trial_2008.md)."""
