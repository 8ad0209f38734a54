"""The gateway: a REST API, webhooks, and pages to watch videos and runs."""
