"""The API between nodes, without its handlers: signatures over requests and answers, and the client."""
