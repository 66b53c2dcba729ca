"""Tiered leverage: maintenance by size, for futures, perpetuals and coins on margin. docs/methodologies/tiered.md."""
