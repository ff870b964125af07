"""What our work costs, as ratios to a floor or a peer in the same run; one module for each line of docs/performance.md."""
