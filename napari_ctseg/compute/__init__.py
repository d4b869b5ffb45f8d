"""Work in processes of their own, so that nothing it does can take the viewer down with it."""
