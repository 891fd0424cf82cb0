package spec_test

import (
	"testing"

	"switchhook/spec"
)

// BenchmarkLoad is what a reload costs for each connector that is looked at.
func BenchmarkLoad(b *testing.B) {
	for _, path := range []string{"testdata/good/parcelbay", "testdata/good/acme.yml"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c, list := spec.Load(path); c == nil || list.HasErrors() {
					b.Fatal(list)
				}
			}
		})
	}
}

// BenchmarkHash is what a reload costs for each connector that has not changed.
func BenchmarkHash(b *testing.B) {
	for b.Loop() {
		if spec.Hash("testdata/good/parcelbay") == "" {
			b.Fatal("no hash")
		}
	}
}
