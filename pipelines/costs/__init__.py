"""What videos cost: entries of the ledger, sums, caps, the price of GPU time, reports."""
