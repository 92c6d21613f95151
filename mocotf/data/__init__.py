"""Images in: sources, views of them, and the pipelines that join both."""
