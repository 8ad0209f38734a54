"""The diagrams: one file a deployment, wiring only."""
