"""One contract for every host that judges coils."""
