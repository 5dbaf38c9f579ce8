"""Files and directories: read, create, append, write."""
