package app

import (
	"net/url"
	"reflect"

	"switchhook/gateway/config"
)

// inForce is a configuration that was read again, with what takes a restart as it was at the start.
func inForce(started, read *config.Config) *config.Config {
	cfg := *read
	cfg.Server, cfg.Admin, cfg.Connectors, cfg.Data, cfg.URLKey = started.Server, started.Admin, started.Connectors, started.Data, started.URLKey
	cfg.Scripts, cfg.Dedupe, cfg.Log = started.Scripts, started.Dedupe, started.Log
	return &cfg
}

// fixedSettings names the settings in which a configuration that was read again differs from what inForce keeps.
func fixedSettings(started, read *config.Config) []string {
	var names []string
	compare := func(name string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			names = append(names, name)
		}
	}
	section := func(name string, a, b any) {
		x, y := reflect.ValueOf(a), reflect.ValueOf(b)
		for i := range x.NumField() {
			v, w := x.Field(i).Interface(), y.Field(i).Interface()
			if u, ok := v.(config.URL); ok {
				v, w = text(u.URL), text(w.(config.URL).URL)
			}
			compare(name+"."+x.Type().Field(i).Tag.Get("yaml"), v, w)
		}
	}
	section("server", started.Server, read.Server)
	section("admin", started.Admin, read.Admin)
	compare("connectors", started.Connectors, read.Connectors)
	compare("data", started.Data, read.Data)
	compare("urlKey", started.URLKey, read.URLKey)
	section("scripts", started.Scripts, read.Scripts)
	section("dedupe", started.Dedupe, read.Dedupe)
	section("log", started.Log, read.Log)
	return names
}

func text(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.String()
}
