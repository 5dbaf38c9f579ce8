"""The doors: they turn a decision into access, and take the access away again."""
