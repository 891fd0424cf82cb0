package app

import (
	"context"
	"time"
)

// The pace of retention: small steps, so that writers wait for none of them.
const (
	sweepEvery = time.Minute
	sweepStep  = 200 // requests in one step
)

// retain deletes what is older, or more, than the configuration keeps, until
// ctx ends.
func (g *Gateway) retain(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n, err := g.sweep(ctx); err != nil {
			g.o.Logger.Error("deleting old requests", "error", err)
		} else if n > 0 {
			g.o.Logger.Info("deleted old requests", "requests", n)
		}
	}
}

// sweep deletes all that retention asks for now.
func (g *Gateway) sweep(ctx context.Context) (deleted int, err error) {
	keep := g.live.Current().Config.Retention
	var before time.Time
	if keep.Age > 0 {
		before = g.o.Now().Add(-keep.Age)
	}
	for ctx.Err() == nil {
		n, err := g.store.Sweep(ctx, before, int64(keep.Size), sweepStep)
		if err != nil || n == 0 {
			return deleted, err
		}
		deleted += n
	}
	return deleted, nil
}
