"""The Streamlit app: it reads artifacts and starts jobs; it computes no result."""
