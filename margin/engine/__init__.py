"""The cellar: what every account is worth, owes and must hold, computed purely from columns.

No Django, no database, no clock: numpy and the standard library, with numba in `kernels` alone (docs/decisions.md).
"""
