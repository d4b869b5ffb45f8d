"""The frame of a dock: a tab next to the other docks of this plugin, in a window with room for both."""
