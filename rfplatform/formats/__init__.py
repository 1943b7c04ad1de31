"""Radio maps and scenes as files that other tools open."""
