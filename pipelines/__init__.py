"""Jobs: one a file, a frozen configuration and a main."""
