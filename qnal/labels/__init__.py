"""Labels from visual inspection: tables in several formats, merged into one label per target."""
