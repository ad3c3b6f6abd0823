"""Storage rented to strangers: the pure cores. Bytes, terms and times come in as arguments; decisions go out."""
