"""``python -m aal``: the same as the command ``aal``."""

from aal.cli import main

if __name__ == "__main__":
    main()
