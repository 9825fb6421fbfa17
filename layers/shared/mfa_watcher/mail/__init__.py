"""The text of the mails, and how it is rendered."""
