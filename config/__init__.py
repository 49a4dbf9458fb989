"""What an administrator decides: typed settings, read from one TOML file.

Every other room reads these settings and none of them is imported here.
"""
