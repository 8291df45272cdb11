"""Where videos come from: folders, lists and public corpora as manifests."""
