"""Places where pictures lie as files with names: folders, archives, lists, addresses."""
