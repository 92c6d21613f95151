"""Views of images: what is drawn, and the operators that make it, on the host and in a graph."""
