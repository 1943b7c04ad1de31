"""O-RAN intelligence: ORAN-Bench-13K's questions, and answers from documents with their sources."""
