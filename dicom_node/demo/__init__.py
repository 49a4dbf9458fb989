"""The demonstration: real and made radiographs through a real node to a PACS stand-in, and what came back."""
