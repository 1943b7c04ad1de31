"""The script of the dashboard; not beside `ui/pages`, or Streamlit would run those as scripts."""
