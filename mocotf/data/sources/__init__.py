"""The sources of images: folders, records, data sets, what is embedded."""
