"""The same pipeline as plainly written with other frameworks, to be measured beside ours."""
