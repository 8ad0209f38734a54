"""Which preset and model a request gets, and why."""
