"""Margin of crypto derivatives by coin. docs/methodologies/crypto_portfolio.md."""
