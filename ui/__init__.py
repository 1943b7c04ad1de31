"""The dashboard: it reads what is on the disk, starts jobs, and computes no result itself."""
