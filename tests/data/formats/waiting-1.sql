PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE waiting (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL,
    hook_id TEXT NOT NULL,
    deferrals INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    taken_ms INTEGER NOT NULL,
    put_ms INTEGER NOT NULL,
    older_ms INTEGER NOT NULL,
    waits INTEGER NOT NULL,
    reason TEXT NOT NULL,
    message BLOB
);
INSERT INTO "waiting" VALUES('d1','a1','h1',1,1709251260000,1709251199000,1709251200000,0,1,'status 503',X'7B7D');
INSERT INTO "waiting" VALUES('d2','a1','h1',2,1709251260000,1709251199000,1709251200000,1709251260000,0,'timeout',NULL);
CREATE INDEX waiting_by_hook ON waiting (hook_id, waits, due_ms, id);
CREATE INDEX waiting_by_time ON waiting (waits, due_ms, id)
;
COMMIT;
