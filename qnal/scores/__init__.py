"""What an ensemble says of a pool: kept answers, scores and what is made of them."""
