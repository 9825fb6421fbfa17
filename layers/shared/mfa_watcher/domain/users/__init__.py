"""Users, their devices, and what the watcher knows about them."""
