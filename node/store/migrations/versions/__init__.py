"""One module per revision, named after its id. A revision never changes once released."""
