"""How active output may be shown."""
