"""What the functions do: read through the ports, decide, commit."""
