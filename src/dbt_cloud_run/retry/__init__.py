"""(attempt, manifest, settings) → `RetryPlan`: exactly the nodes that did not succeed. Pure."""
