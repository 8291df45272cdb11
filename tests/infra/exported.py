"""Names of time series that a live run exports, as tests/infra/test_local_cluster.py finds them."""

#: Ours, from workers and driver.
OF_RUNS = {
    "ray_mover_bytes_read_total",
    "ray_mover_eta_lag_seconds",
    "ray_mover_eta_seconds",
    "ray_mover_frames_total",
    "ray_mover_last_commit_time_seconds",
    "ray_mover_parts_total",
    "ray_mover_retries_total",
    "ray_mover_stage_seconds_total",
    "ray_mover_videos_left",
    "ray_mover_videos_total",
}

#: Ray's own, on any cluster.
OF_RAY = {
    "ray_actors",
    "ray_cluster_active_nodes",
    "ray_data_num_external_inqueue_blocks",
    "ray_node_cpu_utilization",
    "ray_node_disk_free",
    "ray_node_disk_usage",
    "ray_node_mem_total",
    "ray_node_mem_used",
    "ray_node_network_receive_speed",
    "ray_node_network_send_speed",
    "ray_object_store_memory",
}

#: Ray's own, where a node has GPUs.
OF_RAY_WITH_GPUS = {"ray_node_gpus_utilization"}
