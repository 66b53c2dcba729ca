"""What-ifs and stress: the sweep's own calculation on books that do not exist (docs/whatif.md)."""
