"""`reelwright up`, `status` and `deploy`: the services of a studio, and their deployments."""
