"""Poisons on disk: folders of them, sets for one target, and how far they are from their bases."""
