"""Many cells, many deaths: nothing may be lost, and nothing may be left behind."""
