"""What lies behind the dashboard: drafts, previews, jobs and uploads, all of it on disk."""
