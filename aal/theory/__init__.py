"""Theorems 1 and 2 of paper *noise*, as numbers."""
