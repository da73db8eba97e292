"""Image formation in pure torch: no files, no printing, leading batch dimensions everywhere."""
