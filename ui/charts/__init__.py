"""Charts of the dashboard, a kind a file; colours follow Streamlit's theme."""
