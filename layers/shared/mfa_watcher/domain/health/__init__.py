"""Whether the watcher itself works."""
