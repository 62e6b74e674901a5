"""Successors: trained apart, judged, shadowed, promoted, watched and rolled back."""
