"""Variables of the server's environment."""
