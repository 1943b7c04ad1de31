"""The Assistant page's parts: questions, their sources, the section that is open, evaluations."""
