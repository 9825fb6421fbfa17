"""Health: whether events still arrive, and whether a deployed watcher is able to work."""
