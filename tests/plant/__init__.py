"""The simulated line keeps its promises."""
