//go:build race

package worker_test

// raceDetector: the detector makes all slow and takes many times the memory.
const raceDetector = true
