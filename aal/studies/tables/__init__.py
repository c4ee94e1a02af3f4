"""The tables that studies end in, one a file."""
