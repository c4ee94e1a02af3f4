"""Studies: arms of an experiment over the same seeds, run cell by cell, and the table with paired tests they end in."""
