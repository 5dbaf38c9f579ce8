"""The operating system's walls around a worker: planned, built by the warden, then tried."""
