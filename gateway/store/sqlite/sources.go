package sqlite

import (
	"context"
	"sync"
)

// sources are all webhooks of integrations that ever had a request, a few
// thousand at most. The writer adds to them; after a rollback they are stale,
// and loaded anew before the next use.
type sources struct {
	mu    sync.RWMutex
	names map[int64]source
	ids   map[source]sourceID
	hooks map[source]int64 // the first id, by source without connector
	stale bool             // of the writer
}

func (ss *sources) load(c *conn) error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.names, ss.ids, ss.hooks = map[int64]source{}, map[source]sourceID{}, map[source]int64{}
	err := c.query(context.Background(), "SELECT id, workspace, integration, webhook, connector FROM sources ORDER BY id", func(r row) bool {
		ss.addLocked(r.int(0), source{r.text(1), r.text(2), r.text(3), r.text(4)})
		return true
	})
	ss.stale = err != nil
	return err
}

func (ss *sources) addLocked(id int64, s source) sourceID {
	without := s
	without.connector = ""
	first, ok := ss.hooks[without]
	if !ok {
		first = id
		ss.hooks[without] = id
	}
	ss.names[id] = s
	ss.ids[s] = sourceID{id, first}
	return ss.ids[s]
}

func (ss *sources) add(id int64, s source) sourceID {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.addLocked(id, s)
}

func (ss *sources) id(s source) (sourceID, bool) {
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	id, ok := ss.ids[s]
	return id, ok
}

func (ss *sources) get(id int64) (source, bool) {
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	s, ok := ss.names[id]
	return s, ok
}

// matching returns the ids of the sources with these names ("" for any), nil for all of them.
func (ss *sources) matching(want source) map[int64]bool {
	if want == (source{}) {
		return nil
	}
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	ids := map[int64]bool{}
	match := func(want, got string) bool { return want == "" || want == got }
	for id, s := range ss.names {
		if match(want.workspace, s.workspace) && match(want.integration, s.integration) &&
			match(want.webhook, s.webhook) && match(want.connector, s.connector) {
			ids[id] = true
		}
	}
	return ids
}
