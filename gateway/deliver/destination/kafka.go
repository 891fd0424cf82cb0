package destination

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"switchhook/gateway/deliver"
	"switchhook/gateway/hook"
)

// kafkaSender produces to a topic, keyed by the selector, and waits until all
// in-sync replicas have acknowledged: only then is a delivery done. An
// attempt that ran out of time may have been stored nevertheless, and then the next one
// stores it again; the webhook-id header is the same.
//
// Brokers are spoken to in plain text, without authentication.
type kafkaSender struct {
	o    Options
	pool *pool[*kafkaClient]
}

type kafkaClient struct {
	*kgo.Client
	lastDial atomic.Pointer[error] // nil after a success
}

func newKafka(o Options) *kafkaSender {
	return &kafkaSender{o: o, pool: newPool(func(c *kafkaClient) { c.Close() })}
}

func (s *kafkaSender) Send(ctx context.Context, sub *hook.Subscription, d *hook.Delivery) deliver.Result {
	dest := &sub.Destination
	topic, err := topic(dest.Topic, d)
	if err != nil {
		return gatewayFailure(sub, "the destination's topic: "+err.Error())
	}
	if len(dest.Brokers) == 0 {
		return gatewayFailure(sub, "the destination has no brokers")
	}
	record := &kgo.Record{Topic: topic, Key: []byte(d.Event.Selector), Timestamp: s.o.Now()}
	record.Value, err = message(sub, d, kafkaBinding, func(name, value string) {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	})
	if err != nil {
		return gatewayFailure(sub, "the destination's "+err.Error())
	}

	key := strings.Join(dest.Brokers, ",") + " " + allowKey(dest.Allow)
	client, release, err := s.pool.get(ctx, key, func() (*kafkaClient, error) {
		return s.connect(dest.Brokers, dest.Allow)
	})
	if err != nil {
		return failure(ctx, sub, err, "broker")
	}
	defer release()
	err = client.produce(ctx, record)
	switch {
	case err == nil:
		return deliver.Result{Class: "ok"}
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return deliver.Result{Class: "broker", Permanent: true,
			Error: clean(fmt.Sprintf("the payload of %d bytes is larger than the broker takes: %v", len(record.Value), err), sub)}
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return deliver.Result{Class: "broker", Error: clean(fmt.Sprintf("the brokers have no topic %q", topic), sub)}
	}
	// The client keeps dialing until the time is over; why that failed says more.
	if cause := client.lastDial.Load(); cause != nil {
		r := failure(context.WithoutCancel(ctx), sub, *cause, "broker")
		if ctx.Err() == nil || r.Class == "forbidden" || r.Class == "refused" || r.Class == "dns" {
			return r
		}
	}
	return failure(ctx, sub, err, "broker")
}

// produce waits until the record is acknowledged or ctx ends. The client may
// take seconds longer to notice the latter, when it waits to dial again.
func (c *kafkaClient) produce(ctx context.Context, record *kgo.Record) error {
	done := make(chan error, 1)
	c.Produce(ctx, record, func(_ *kgo.Record, err error) { done <- err })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *kafkaSender) connect(brokers []string, allow []netip.Prefix) (*kafkaClient, error) {
	c := &kafkaClient{}
	dialer := newDialer(s.o, allow)
	var err error
	c.Client, err = kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.ClientID("switchhook"),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// An attempt ends with its timeout, whatever the broker does.
		kgo.AllowIdempotentProduceCancellation(),
		kgo.ProducerLinger(0),
		kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				c.lastDial.Store(&err)
			} else {
				c.lastDial.Store(nil)
			}
			return conn, err
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("brokers: %w", err)
	}
	return c, nil
}

func (s *kafkaSender) Close() error {
	s.pool.close()
	return nil
}
