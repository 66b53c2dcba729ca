"""Futures and options on futures by risk arrays: CME SPAN. docs/methodologies/span.md."""
