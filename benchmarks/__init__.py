"""Measurements that anyone can repeat: one module, one command each; what they gave stands beside them."""
