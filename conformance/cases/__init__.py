"""The cases, by the document whose rows they hold; files beside them are of the profiles of their names."""
