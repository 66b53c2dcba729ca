"""The hall's part of /api/v1/: addresses, keys, strict bodies, pages, problems, schema.

The rows themselves are the rooms' (`<room>/api.py`).
"""
