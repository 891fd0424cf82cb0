package destination_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"switchhook/gateway/deliver/destination"
	"switchhook/gateway/hook"
)

func natsServer(t testing.TB, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the nats server does not start")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

// stream makes a stream of a server, and returns a function that reads it.
func stream(t testing.TB, url, subjects string, change func(*jetstream.StreamConfig)) (read func() []jetstream.Msg) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	config := jetstream.StreamConfig{Name: "HOOKS", Subjects: []string{subjects}}
	if change != nil {
		change(&config)
	}
	st, err := js.CreateStream(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	return func() []jetstream.Msg {
		t.Helper()
		info, err := st.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if info.State.Msgs == 0 {
			return nil
		}
		c, err := st.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		batch, err := c.FetchNoWait(1000)
		if err != nil {
			t.Fatal(err)
		}
		var msgs []jetstream.Msg
		for m := range batch.Messages() {
			msgs = append(msgs, m)
		}
		return msgs
	}
}

func TestNATS(t *testing.T) {
	srv := natsServer(t, nil)
	read := stream(t, srv.ClientURL(), "hooks.>", nil)
	s := senders(t, destination.Options{})["nats"]
	sub := subscription(hook.Destination{Type: "nats", URL: srv.ClientURL(), Subject: "hooks.{workspace}.{selector}", Allow: loopback,
		Headers: hook.Headers{{Name: "X-Static", Value: "yes"}}})
	d := delivery(`{"n": 9007199254740993}`)
	for range 2 { // the second is what a repeated attempt sends
		if got := send(s, sub, d); got.Class != "ok" || got.Error != "" {
			t.Fatalf("%+v", got)
		}
	}
	// The same event by another subscription is another message.
	other := delivery(`{"n": 9007199254740993}`)
	other.Subscription = "demo/copies"
	if got := send(s, sub, other); got.Class != "ok" {
		t.Fatalf("%+v", got)
	}
	msgs := read()
	if len(msgs) != 2 {
		t.Fatalf("%d messages, want 2", len(msgs))
	}
	m := msgs[0]
	if m.Subject() != "hooks.demo.order_created.42" || string(m.Data()) != `{"n": 9007199254740993}` {
		t.Errorf("%s %s", m.Subject(), m.Data())
	}
	for name, want := range map[string]string{
		"X-Static": "yes", "content-type": "application/json", "webhook-id": "evt_1", "x-switchhook-selector": "order.created/42",
		"x-switchhook-subscription": "demo/orders", "Nats-Msg-Id": "evt_1:demo/orders",
	} {
		if got := m.Headers().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := m.Headers().Get("traceparent"); !strings.HasPrefix(got, "00-4bf92f3577b34da6a3ce929d0e0e4736-") {
		t.Errorf("traceparent is %q", got)
	}
}

// headersOf are the headers of a message, by name.
func headersOf(r *kgo.Record) map[string]string {
	headers := map[string]string{}
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	return headers
}

// A CloudEvent is sent in either mode, as the bindings of NATS and Kafka say.
func TestBrokerCloudEvents(t *testing.T) {
	srv := natsServer(t, nil)
	read := stream(t, srv.ClientURL(), "hooks.>", nil)
	c := kafka(t, "binary", "structured")
	all := senders(t, destination.Options{})
	for _, mode := range []string{"binary", "structured"} {
		d := delivery(`{"n": 9007199254740993}`)
		d.Event.ID = "evt_" + mode
		d.Event.Selector = "order.created/é"
		for _, dest := range []hook.Destination{
			{Type: "nats", URL: srv.ClientURL(), Subject: "hooks." + mode, Allow: loopback, CloudEvents: mode},
			{Type: "kafka", Brokers: c.ListenAddrs(), Topic: mode, Allow: loopback, CloudEvents: mode},
		} {
			if got := send(all[dest.Type], subscription(dest), d); got.Class != "ok" {
				t.Fatalf("%s, %s: %+v", dest.Type, mode, got)
			}
		}
	}
	byMode := map[string]jetstream.Msg{}
	for _, m := range read() {
		byMode[strings.TrimPrefix(m.Subject(), "hooks.")] = m
	}
	attributes := map[string]string{"specversion": "1.0", "id": "evt_binary", "source": "/demo/shop/events", "type": "order.created",
		"subject": "order.created/é", "time": "2026-01-02T03:04:05.6Z"}
	binary := headersOf(consume(t, c, "binary", 1)[0])
	for name, want := range attributes {
		if got := binary["ce_"+name]; got != want {
			t.Errorf("kafka: ce_%s is %q, want %q", name, got, want)
		}
		if got := byMode["binary"].Headers().Get("ce-" + name); got != strings.ReplaceAll(want, "é", "%C3%A9") {
			t.Errorf("nats: ce-%s is %q, want %q", name, got, want)
		}
	}
	if got := byMode["binary"]; string(got.Data()) != `{"n": 9007199254740993}` || got.Headers().Get("content-type") != "application/json" {
		t.Errorf("nats: %s %v", got.Data(), got.Headers())
	}
	structured := consume(t, c, "structured", 1)[0]
	for of, m := range map[string]struct {
		contentType string
		body        []byte
	}{
		"kafka": {headersOf(structured)["content-type"], structured.Value},
		"nats":  {byMode["structured"].Headers().Get("content-type"), byMode["structured"].Data()},
	} {
		var event struct {
			Specversion, ID, Source, Type, Subject, Datacontenttype string
			Data                                                    json.RawMessage
		}
		if err := json.Unmarshal(m.body, &event); err != nil {
			t.Fatalf("%s: %v", of, err)
		}
		if m.contentType != "application/cloudevents+json; charset=utf-8" || event.Specversion != "1.0" || event.ID != "evt_structured" ||
			event.Source != "/demo/shop/events" || event.Subject != "order.created/é" || event.Datacontenttype != "application/json" ||
			string(event.Data) != `{"n": 9007199254740993}` {
			t.Errorf("%s: %s %s", of, m.contentType, m.body)
		}
	}
	for name := range headersOf(structured) {
		if strings.HasPrefix(name, "ce_") {
			t.Errorf("structured mode has the header %s", name)
		}
	}
	if got := send(all["nats"], subscription(hook.Destination{Type: "nats", URL: srv.ClientURL(), Subject: "hooks.x", Allow: loopback, CloudEvents: "odd"}), delivery("{}")); got.Class != "gateway" {
		t.Errorf("%+v", got)
	}
}

func TestNATSFailures(t *testing.T) {
	srv := natsServer(t, func(o *server.Options) { o.MaxPayload = 1 << 20 })
	stream(t, srv.ClientURL(), "hooks.>", func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 })
	noStream := natsServer(t, func(o *server.Options) { o.JetStream = false })
	secret := natsServer(t, func(o *server.Options) { o.Username, o.Password = "user", "pa55word" })
	s := senders(t, destination.Options{})["nats"]
	for _, c := range []struct {
		name      string
		d         hook.Destination
		size      int
		class     string
		permanent bool
		text      string
	}{
		{"no stream takes it", hook.Destination{URL: srv.ClientURL(), Subject: "other"}, 10, "broker", false, `"other"`},
		{"no JetStream", hook.Destination{URL: noStream.ClientURL(), Subject: "hooks.x"}, 10, "broker", false, "JetStream"},
		{"larger than the stream takes", hook.Destination{URL: srv.ClientURL(), Subject: "hooks.x"}, 2000, "broker", true, "2008 bytes"},
		{"larger than the server takes", hook.Destination{URL: srv.ClientURL(), Subject: "hooks.x"}, 2 << 20, "broker", true, "larger"},
		{"refused", hook.Destination{URL: "nats" + strings.TrimPrefix(closedPort(t), "http"), Subject: "hooks.x"}, 10, "refused", false, "refused"},
		{"dns", hook.Destination{URL: "nats://nobody.invalid:4222", Subject: "hooks.x"}, 10, "dns", false, "nobody.invalid"},
		{"no answer", hook.Destination{URL: "nats" + strings.TrimPrefix(raw(t, func(c net.Conn) { readRequest(c) }), "http"), Subject: "hooks.x"}, 10, "timeout", false, ""},
		{"wrong password", hook.Destination{URL: strings.Replace(secret.ClientURL(), "//", "//user:wr0ngpassword@", 1), Subject: "hooks.x"}, 10, "broker", false, "Authorization"},
		{"bad template", hook.Destination{URL: srv.ClientURL(), Subject: "{nope}"}, 10, "gateway", false, "{nope}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.d.Allow, c.d.Timeout = loopback, 2*time.Second
			began := time.Now()
			got := send(s, subscription(c.d), delivery(`{"x":"`+strings.Repeat("x", c.size)+`"}`))
			if got.Class != c.class || got.Permanent != c.permanent || !strings.Contains(got.Error, c.text) || strings.Contains(got.Error, "wr0ngpassword") {
				t.Errorf("%+v", got)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	forbidden := subscription(hook.Destination{URL: srv.ClientURL(), Subject: "hooks.x"})
	if got := send(s, forbidden, delivery("{}")); got.Class != "forbidden" {
		t.Errorf("%+v", got)
	}
}

// A server that goes away fails attempts while it is away, and is found when it is back.
func TestNATSReconnects(t *testing.T) {
	dir := t.TempDir()
	first := natsServer(t, func(o *server.Options) { o.StoreDir = dir })
	read := stream(t, first.ClientURL(), "hooks.>", nil)
	u, err := url.Parse(first.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	s := senders(t, destination.Options{})["nats"]
	sub := subscription(hook.Destination{Type: "nats", URL: first.ClientURL(), Subject: "hooks.x", Allow: loopback, Timeout: time.Second})
	if got := send(s, sub, delivery(`{"n":1}`)); got.Class != "ok" {
		t.Fatalf("%+v", got)
	}
	first.Shutdown()
	first.WaitForShutdown()
	if got := send(s, sub, delivery(`{"n":2}`)); got.Class == "ok" || got.Error == "" {
		t.Errorf("while the server is away: %+v", got)
	}
	natsServer(t, func(o *server.Options) { o.StoreDir = dir; o.Port = port(t, u) })
	d := delivery(`{"n":3}`)
	d.Event.ID = "evt_3"
	for began := time.Now(); ; {
		got := send(s, sub, d)
		if got.Class == "ok" {
			break
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("the server is back, but %+v", got)
		}
	}
	if n := len(read()); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

func port(t testing.TB, u *url.URL) int {
	ap, err := netip.ParseAddrPort(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	return int(ap.Port())
}

func kafka(t testing.TB, topics ...string) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func consume(t testing.TB, c *kfake.Cluster, topic string, n int) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var records []*kgo.Record
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("%d records, want %d", len(records), n)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

func TestKafka(t *testing.T) {
	c := kafka(t, "hooks.order.created")
	s := senders(t, destination.Options{})["kafka"]
	sub := subscription(hook.Destination{Type: "kafka", Brokers: c.ListenAddrs(), Topic: "hooks.{type}", Allow: loopback,
		Headers: hook.Headers{{Name: "X-Static", Value: "yes"}}})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			d := delivery(fmt.Sprintf(`{"n":%d}`, i))
			d.Event.ID = fmt.Sprint("evt_", i)
			if got := send(s, sub, d); got.Class != "ok" || got.Error != "" {
				t.Errorf("%+v", got)
			}
		})
	}
	wg.Wait()
	records := consume(t, c, "hooks.order.created", 20)
	if len(records) != 20 {
		t.Fatalf("%d records", len(records))
	}
	partition := records[0].Partition
	for _, r := range records {
		headers := headersOf(r)
		if string(r.Key) != "order.created/42" || r.Partition != partition || headers["x-switchhook-subscription"] != "demo/orders" ||
			headers["X-Static"] != "yes" || headers["webhook-id"] != "evt_"+strings.TrimSuffix(strings.TrimPrefix(string(r.Value), `{"n":`), "}") {
			t.Errorf("%s %s %v", r.Key, r.Value, headers)
		}
	}
}

func TestKafkaFailures(t *testing.T) {
	c := kafka(t, "hooks")
	s := senders(t, destination.Options{})["kafka"]
	for _, test := range []struct {
		name      string
		d         hook.Destination
		size      int
		class     string
		permanent bool
		text      string
	}{
		{"unknown topic", hook.Destination{Brokers: c.ListenAddrs(), Topic: "nope"}, 10, "broker", false, `"nope"`},
		{"too large", hook.Destination{Brokers: c.ListenAddrs(), Topic: "hooks"}, 2 << 20, "broker", true, "larger"},
		{"refused", hook.Destination{Brokers: []string{strings.TrimPrefix(closedPort(t), "http://")}, Topic: "hooks"}, 10, "refused", false, "refused"},
		{"dns", hook.Destination{Brokers: []string{"nobody.invalid:9092"}, Topic: "hooks"}, 10, "dns", false, "nobody.invalid"},
		{"no answer", hook.Destination{Brokers: []string{strings.TrimPrefix(raw(t, func(c net.Conn) { readRequest(c); readRequest(c) }), "http://")}, Topic: "hooks"}, 10, "timeout", false, "2s"},
		{"no brokers", hook.Destination{Topic: "hooks"}, 10, "gateway", false, "brokers"},
		{"bad broker", hook.Destination{Brokers: []string{"a:b:c"}, Topic: "hooks"}, 10, "dns", false, ""},
		{"bad template", hook.Destination{Brokers: c.ListenAddrs(), Topic: "{nope}"}, 10, "gateway", false, "{nope}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.d.Allow, test.d.Timeout = loopback, 2*time.Second
			if test.name == "unknown topic" {
				test.d.Timeout = 10 * time.Second
			}
			began := time.Now()
			got := send(s, subscription(test.d), delivery(`{"x":"`+strings.Repeat("x", test.size)+`"}`))
			if got.Class != test.class || got.Permanent != test.permanent || !strings.Contains(got.Error, test.text) {
				t.Errorf("%+v", got)
			}
			if took := time.Since(began); took > test.d.Timeout+10*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	t.Run("forbidden", func(t *testing.T) {
		t.Parallel()
		sub := subscription(hook.Destination{Brokers: c.ListenAddrs(), Topic: "hooks", Timeout: time.Second})
		if got := send(s, sub, delivery("{}")); got.Class != "forbidden" {
			t.Errorf("%+v", got)
		}
	})
}

// Only what the brokers acknowledged is done.
func TestKafkaWithoutAcknowledgement(t *testing.T) {
	c := kafka(t, "hooks")
	s := senders(t, destination.Options{})["kafka"]
	sub := subscription(hook.Destination{Brokers: c.ListenAddrs(), Topic: "hooks", Allow: loopback})
	if got := send(s, sub, delivery(`{"n":1}`)); got.Class != "ok" {
		t.Fatalf("%+v", got)
	}
	c.Close()
	sub.Destination.Timeout = time.Second
	began := time.Now()
	if got := send(s, sub, delivery(`{"n":2}`)); got.Class == "ok" || got.Error == "" {
		t.Errorf("%+v", got)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}
