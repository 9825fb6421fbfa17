"""What starts the functions: queues, schedules, the outbox's stream, the API."""
