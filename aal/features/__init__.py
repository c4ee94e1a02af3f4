"""What a frozen backbone makes of the splits: encoded once, kept in a bank under a key."""
