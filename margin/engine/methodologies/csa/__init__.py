"""Uncleared derivatives under a credit support annex. docs/methodologies/csa.md."""
