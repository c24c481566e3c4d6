BEGIN TRANSACTION;
CREATE TABLE records (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    database TEXT NOT NULL,
    document TEXT NOT NULL
);
INSERT INTO "records" VALUES(3,'db','{"_id": "a"}');
INSERT INTO "records" VALUES(4,'db','{"_id": "b", "\u00e9": 1}');
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('records',4);
PRAGMA user_version = 1;
COMMIT;
