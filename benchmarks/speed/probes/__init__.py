"""Programs that measure within one process what no command of ours shows, and write JSON."""
