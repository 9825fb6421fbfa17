"""Users, their devices and what is known of them."""
