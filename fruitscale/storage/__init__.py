"""Reading photos and writing run folders."""
