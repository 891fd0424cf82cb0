package app

import (
	"net/netip"

	"switchhook/gateway/server"
)

func (g *Gateway) serverOptions() server.Options {
	s := g.o.Config.Server
	proxies := make([]netip.Prefix, len(s.TrustedProxies))
	for i, p := range s.TrustedProxies {
		proxies[i] = p.Prefix
	}
	return server.Options{
		Gateway: g, Now: g.o.Now, Logger: g.o.Logger, PublicURL: s.PublicURL.String(), Ready: g.ready, Observe: g.metrics.Answered,
		MaxBody: int64(s.MaxBody), MaxHeader: int(s.MaxHeader), InFlightBytes: int64(s.InFlightBytes),
		MaxConnections: s.MaxConnections,
		ReadTimeout:    s.ReadTimeout, WriteTimeout: s.WriteTimeout, IdleTimeout: s.IdleTimeout,
		TrustedProxies: proxies,
		RatePerWebhook: s.RateLimit.PerWebhook, RatePerAddress: s.RateLimit.PerAddress,
	}
}
