"""The gateway: REST, webhooks, pages."""
