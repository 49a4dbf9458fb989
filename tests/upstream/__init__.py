"""pynetdicom's own tests, which its wheel brings, over the node's way of bytes: `make upstream`."""
