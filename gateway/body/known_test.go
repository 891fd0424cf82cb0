package body

import "testing"

func TestUnknownType(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/json": false, "application/json; charset=utf-8": false, "Application/JSON": false, "text/plain": false, "image/png": false,
		"application/vnd.acme.v1+json": false, "application/cloudevents-batch+json": false, "application/x-thing": false, "multipart/form-data; boundary=x": false,
		"aplication/json": true, "application/jsno": true, "json": true, "": true, "text": true, "text/jason": true, "application/": true, "application/a+jsn": true,
	} {
		if got, _ := UnknownType(contentType); got != want {
			t.Errorf("UnknownType(%q) = %v", contentType, got)
		}
	}
}
