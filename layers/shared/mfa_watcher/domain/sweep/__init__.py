"""The sweep: comparing an account's lists with what is known."""
