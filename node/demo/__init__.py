"""`./run demo`: paid downloads and rented storage on one machine: real processes and contracts, books that agree."""
