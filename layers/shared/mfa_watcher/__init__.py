"""MFA Watcher: everybody who can sign in to the console has an MFA device, and keeps it."""

__version__ = "0.1.0"
