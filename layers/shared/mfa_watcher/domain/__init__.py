"""What the product knows and decides: standard library only, no clock, no input or output."""
