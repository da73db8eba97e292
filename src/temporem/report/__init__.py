"""Pictures, plots and the self-contained HTML report, made from plain arrays."""
