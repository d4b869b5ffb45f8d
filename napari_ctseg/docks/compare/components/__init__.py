"""The list of lesions, or of islands and holes, of the Compare dock."""
