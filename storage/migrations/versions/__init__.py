"""The database's history, one small ordered step a file."""
