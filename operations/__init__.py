"""What the platform team runs: `release` and `data`. `shared` holds what both need."""
