"""Documents -> sections -> chunks: what retrieval stands on."""
