"""The page: what operators and reliability teams look at, made on the server."""
