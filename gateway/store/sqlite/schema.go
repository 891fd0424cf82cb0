package sqlite

import (
	"context"
	"fmt"
)

// applicationID marks the file as ours (PRAGMA application_id): "SWHK".
const applicationID = 0x5357484b

// pageSize is larger than SQLite's default of 4096 because every page of a
// transaction costs two system calls; a request of 7 KB with 8192 takes
// 20% less time. Still larger pages would make a single small transaction
// write more than it gains.
const pageSize = 8192

// migrations bring the schema from each version (PRAGMA user_version) to the next. They are
// never changed, only added to.
//
// A request's number (requests.id) counts up in the order of Append. The rows
// that belong to it carry it in their own key: events.id and deliveries.id are
// number<<20 | n, n counting from 1, so that everything of a request, and of
// consecutive requests, lies together and needs no further index. Times are Unix
// nanoseconds.
//
//   - requests is what lists show; contents the rest, body and all.
//   - events.off is where in the body the payload begins; NULL: payload has it.
//   - deliveries.event is the n of its event; lane the selector, for ordered ones only;
//     attempts those since the last replay, total those ever made.
//   - blocks summarise 256 requests each (see block.go). They take the place of
//     indexes by integration, outcome, time, subscription and selector, which would
//     take more time and more writing than everything else together.
//   - meta.request is the highest number that was ever given to a request that is swept;
//     meta.listed bounds the ids of deliveries of state 4 (see lease.go).
var migrations = []string{`
CREATE TABLE meta(
	key TEXT PRIMARY KEY,
	value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE sources(
	id INTEGER PRIMARY KEY,
	workspace TEXT NOT NULL, integration TEXT NOT NULL, webhook TEXT NOT NULL, connector TEXT NOT NULL,
	UNIQUE(workspace, integration, webhook, connector)
);

CREATE TABLE subscriptions(
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	spec TEXT,        -- JSON; only of those made at run time
	disabled TEXT,    -- the reason
	deleted INTEGER   -- deliveries of requests up to this one are no longer wanted
);
CREATE INDEX subscriptions_disabled ON subscriptions(id) WHERE disabled IS NOT NULL;
CREATE INDEX subscriptions_deleted ON subscriptions(deleted) WHERE deleted IS NOT NULL;

CREATE TABLE requests(
	id INTEGER PRIMARY KEY,
	request TEXT NOT NULL UNIQUE,
	source INTEGER NOT NULL,
	outcome INTEGER NOT NULL,   -- 0 accepted, 1 handshake, 2 refused, 3 failed, 4 deferred
	status INTEGER NOT NULL,
	received INTEGER NOT NULL,
	took INTEGER NOT NULL,
	method TEXT NOT NULL,
	path TEXT NOT NULL,
	body_size INTEGER NOT NULL,
	events INTEGER NOT NULL,
	deliveries INTEGER NOT NULL,
	trace TEXT
);

CREATE TABLE contents(
	id INTEGER PRIMARY KEY,
	url TEXT NOT NULL,
	query TEXT,
	remote TEXT,
	headers BLOB,            -- "Name: value" lines
	verified TEXT,
	response_headers BLOB,
	response_body BLOB,
	extra TEXT,              -- JSON: notes, console, failure
	body BLOB
);

CREATE TABLE events(
	id INTEGER PRIMARY KEY,
	event TEXT NOT NULL,
	key TEXT,
	selector TEXT NOT NULL,
	type TEXT,
	duplicate INTEGER,
	off INTEGER,
	len INTEGER NOT NULL,
	payload BLOB
);

CREATE TABLE deliveries(
	id INTEGER PRIMARY KEY,
	event INTEGER NOT NULL,
	subscription INTEGER NOT NULL,
	state INTEGER NOT NULL,      -- 0 pending, 1 waiting, 2 done, 3 dead
	due INTEGER,
	attempts INTEGER NOT NULL,
	total INTEGER NOT NULL,
	lane TEXT
);
CREATE INDEX deliveries_due ON deliveries(subscription, due) WHERE state = 0;
CREATE INDEX deliveries_lane ON deliveries(subscription, lane, state) WHERE lane IS NOT NULL AND state < 2;
CREATE INDEX deliveries_dead ON deliveries(id) WHERE state = 3;

CREATE TABLE attempts(
	delivery INTEGER NOT NULL,
	number INTEGER NOT NULL,
	at INTEGER NOT NULL,
	took INTEGER NOT NULL,
	status INTEGER NOT NULL,
	class TEXT NOT NULL,
	error TEXT,
	response BLOB,
	PRIMARY KEY(delivery, number)
) WITHOUT ROWID;

CREATE TABLE keys(
	source INTEGER NOT NULL,     -- the first source of the same webhook
	key TEXT NOT NULL,
	at INTEGER NOT NULL,
	request INTEGER NOT NULL,
	PRIMARY KEY(source, key)
) WITHOUT ROWID;
CREATE INDEX keys_at ON keys(at);

CREATE TABLE state(
	integration TEXT NOT NULL,
	key TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY(integration, key)
) WITHOUT ROWID;

CREATE TABLE blocks(
	id INTEGER PRIMARY KEY,      -- request number / 256
	requests INTEGER NOT NULL,
	events INTEGER NOT NULL,
	deliveries INTEGER NOT NULL,
	outcomes INTEGER NOT NULL,   -- bits: 1 << outcome
	oldest INTEGER NOT NULL,
	newest INTEGER NOT NULL,
	marks BLOB NOT NULL
);
`, `
-- Few deliveries die, so this costs next to nothing; it counts those of a subscription.
CREATE INDEX deliveries_dead_of ON deliveries(subscription) WHERE state = 3;

CREATE TABLE changes(
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	at INTEGER NOT NULL,
	action TEXT NOT NULL, target TEXT, detail TEXT, remote TEXT, agent TEXT
);
`, `
-- packed: NULL: body, or payload, is as it came; 1: a block of S2 (see pack.go).
ALTER TABLE contents ADD COLUMN packed INTEGER;
ALTER TABLE events ADD COLUMN packed INTEGER;
`, `
-- Those of state 4 are pending and not in deliveries_due (see lease.go). In the order of their ids, new ones are all on the last page.
CREATE INDEX deliveries_unlisted ON deliveries(id, subscription) WHERE state = 4;
`, `
INSERT INTO meta SELECT 'listed', coalesce((SELECT min(id) - 1 FROM deliveries INDEXED BY deliveries_unlisted WHERE state = 4), (SELECT max(id) FROM deliveries), 0);
DROP INDEX deliveries_unlisted;
`}

// NewerError says that the database was written by a later version of Switchhook.
type NewerError struct {
	Path           string
	Version, Known int64
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("%s was written by a newer version of Switchhook (schema %d, this one knows up to %d): run that version or a later one, or restore a backup made before the upgrade",
		e.Path, e.Version, e.Known)
}

// checkSchema refuses a file that is not ours or that a later version wrote. It changes nothing.
func checkSchema(c *conn, path string) error {
	tables, err := c.number("SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return err
	}
	if tables == 0 {
		return nil
	}
	id, err := c.number("PRAGMA application_id")
	if err != nil {
		return err
	}
	if id != applicationID {
		return fmt.Errorf("%s is an SQLite database of another program: give Switchhook a data directory of its own", path)
	}
	version, err := c.number("PRAGMA user_version")
	if err != nil {
		return err
	}
	if known := int64(len(migrations)); version > known {
		return &NewerError{path, version, known}
	}
	return nil
}

// migrate brings the schema up to date, each step in a transaction of its own.
func migrate(ctx context.Context, c *conn) error {
	version, err := c.number("PRAGMA user_version")
	if err != nil {
		return err
	}
	for v := version; v < int64(len(migrations)); v++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		script := fmt.Sprintf("BEGIN IMMEDIATE; %s; PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT", migrations[v], applicationID, v+1)
		if err := c.script(script); err != nil {
			c.script("ROLLBACK") //nolint:errcheck // there may be no transaction left
			return fmt.Errorf("bringing the schema from version %d to %d: %w", v, v+1, err)
		}
	}
	return nil
}
