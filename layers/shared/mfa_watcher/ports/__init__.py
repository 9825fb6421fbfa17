"""The interfaces through which use cases reach services outside, and their errors."""
