def find_run_poses(task, store, progress):
    raise NotImplementedError
