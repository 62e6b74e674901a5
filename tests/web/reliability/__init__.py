"""The pages Models, Schedule and Data."""
