"""The paper's experiments as commands, on an engine that can be stopped anywhere, on one machine or a cluster.

    tasks       what is trained: one member, one seed; `run_task` trains it
    store       every result ever made, append-only; `stored_row` is one of them
    engine      runs what is missing in the store; `local` and `on_ray` are where
    tables      the paper's four tables as tasks; `judged` and `statistics` read them off the store
    report      Markdown, JSON, HTML
    pareto/     accuracy against complexity: which members, how many of them, within which budget
"""
