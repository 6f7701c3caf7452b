"""The tables of the workspace's `state.db`, in one place: rooms share one file, so they share one schema version.

A released version's tables never change: a new version appends a script to `SCRIPTS`, and old workspaces run what they lack.
"""

from __future__ import annotations

_VERSION_1 = """
CREATE TABLE datasets (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    rows INTEGER NOT NULL,
    columns TEXT NOT NULL,
    label_column TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    synthetic INTEGER NOT NULL,
    created TEXT NOT NULL,
    UNIQUE (name, version)
);
CREATE TABLE automl_runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    config TEXT NOT NULL,
    status TEXT NOT NULL,
    best_algorithm TEXT NOT NULL DEFAULT '',
    best_child_id TEXT NOT NULL DEFAULT '',
    metrics TEXT NOT NULL DEFAULT '{}',
    tags TEXT NOT NULL DEFAULT '{}',
    progress TEXT NOT NULL DEFAULT '',
    fraction REAL NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    created TEXT NOT NULL,
    started TEXT,
    ended TEXT,
    pid INTEGER NOT NULL DEFAULT 0,
    process_created REAL NOT NULL DEFAULT 0,
    parity TEXT NOT NULL DEFAULT '',
    mlflow_run_id TEXT NOT NULL DEFAULT '',
    mlflow_model_id TEXT NOT NULL DEFAULT ''
);
CREATE TABLE automl_trials (
    run_id TEXT NOT NULL REFERENCES automl_runs (id),
    iteration INTEGER NOT NULL,
    algorithm TEXT NOT NULL,
    status TEXT NOT NULL,
    score REAL,
    metrics TEXT NOT NULL,
    parameters TEXT NOT NULL,
    seconds REAL NOT NULL,
    error TEXT NOT NULL,
    ended TEXT NOT NULL,
    PRIMARY KEY (run_id, iteration)
);
CREATE TABLE endpoints (
    name TEXT PRIMARY KEY,
    model_name TEXT NOT NULL,
    model_version TEXT NOT NULL,
    tags TEXT NOT NULL,
    created TEXT NOT NULL,
    cold_start_seconds REAL NOT NULL DEFAULT 0,
    pid INTEGER NOT NULL DEFAULT 0,
    process_created REAL NOT NULL DEFAULT 0
);
CREATE TABLE published_pipelines (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    status TEXT NOT NULL,
    description TEXT NOT NULL,
    config TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    created TEXT NOT NULL,
    UNIQUE (name, version)
);
"""

_VERSION_2 = """
CREATE TABLE access_tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL UNIQUE,
    scope TEXT NOT NULL,
    created TEXT NOT NULL,
    expires TEXT,
    last_used TEXT,
    revoked TEXT
);
CREATE UNIQUE INDEX living_access_tokens ON access_tokens (name) WHERE revoked IS NULL;
CREATE TABLE audit_log (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    moment TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    origin TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE ON audit_log BEGIN
    SELECT RAISE(ABORT, 'the audit log is never rewritten');
END;
CREATE TABLE pipeline_endpoints (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    description TEXT NOT NULL,
    default_version TEXT NOT NULL,
    created TEXT NOT NULL
);
CREATE TABLE pipeline_endpoint_versions (
    endpoint_id TEXT NOT NULL REFERENCES pipeline_endpoints (id),
    version TEXT NOT NULL,
    pipeline_id TEXT NOT NULL REFERENCES published_pipelines (id),
    PRIMARY KEY (endpoint_id, version)
);
CREATE TABLE schedules (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    config TEXT NOT NULL,
    status TEXT NOT NULL,
    created TEXT NOT NULL,
    next_fire TEXT,
    last_fire TEXT,
    last_run_id TEXT NOT NULL DEFAULT '',
    last_error TEXT NOT NULL DEFAULT '',
    seen TEXT NOT NULL DEFAULT ''
);
"""

_VERSION_3 = """
CREATE TABLE pipeline_results (
    run_id TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    step TEXT NOT NULL,
    hash TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    outputs TEXT NOT NULL,
    created TEXT NOT NULL,
    PRIMARY KEY (run_id, step)
);
CREATE INDEX newest_pipeline_results ON pipeline_results (pipeline, step, created);
"""

# The machine that a run trains on, where several share the folder.
_VERSION_4 = """
ALTER TABLE automl_runs ADD COLUMN host TEXT NOT NULL DEFAULT '';
"""

SCRIPTS = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4)
