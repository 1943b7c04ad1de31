"""Jobs of O-RAN intelligence: index documents, ask them, evaluate language models."""
