"""Remote backends on the network: connections, the journal of jobs, what a run gives them."""
