"""Which chunks of many documents answer to some words: BM25, dense, and both."""
