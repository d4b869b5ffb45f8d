"""Work in processes of their own, so nothing it does can take the viewer down with it."""
