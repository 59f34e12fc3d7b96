"""The paper's experiments as commands, on an engine that can be stopped anywhere, on one machine or a cluster.

    tasks       what is trained: one member, one seed; `run_task` trains it
    data        of which clips
    store       every result ever made, append-only; `stored_row` is one of them
    engine      runs what is missing in the store; `local` and `on_ray` are where
    tables      the paper's four tables as tasks; `judged` and `statistics` read them off the store
    plan        how much of the paper is run; `suite` runs it, on the recordings of `shipped` if there are no others
    report      Markdown, JSON, HTML; `pictures`, and the figures of `published`
    pareto/     accuracy against complexity: which members, how many of them, within which budget
"""
