"""Pictures, plots and the self-contained HTML report: plain arrays in, figures and text out."""
