"""Parts of the Registry page."""
