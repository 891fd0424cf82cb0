// Package match decides which subscriptions an event reaches: selector patterns,
// filters on the payload, and an index over many subscriptions. It is pure: no
// I/O, no clock. config, live, ingest and the explain commands use it; filters
// also serve the `when` of declared handshakes.
package match
