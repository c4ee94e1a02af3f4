"""The commands ``aal`` runs, what they refuse, and what they end with."""
