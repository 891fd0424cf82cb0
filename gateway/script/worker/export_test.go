package worker

// Probe is what a process of TestConfinement does.
var Probe = func() {}
