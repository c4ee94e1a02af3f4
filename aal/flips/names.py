"""Names of the files that a run of label flips leaves about its clean training set."""

PATHS = "paths.csv"
SUSPECTS = "suspects.csv"
GALLERY = "figures/suspects.png"
