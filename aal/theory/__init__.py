"""Theorems 1 and 2 of paper *noise* and 3.1 to 3.3 of paper *shadow*, as numbers, and the densities of the latter."""
