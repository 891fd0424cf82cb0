package destination

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"switchhook/gateway/deliver"
	"switchhook/gateway/hook"
)

// natsSender publishes to JetStream and waits for the acknowledgement of the
// stream: a delivery is done when the stream has stored it. Where no stream
// takes the subject nobody could acknowledge, so that is a failure.
//
// The message's id (Nats-Msg-Id) is the event's id, a colon and the
// subscription's id: what a repeated attempt sends again within the stream's
// window is stored once, and events that reach a stream through two subscriptions are
// stored twice.
type natsSender struct {
	o    Options
	pool *pool[*natsConn]
}

type natsConn struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	dialer *natsDialer
}

func newNATS(o Options) *natsSender {
	return &natsSender{o: o, pool: newPool(func(c *natsConn) { c.nc.Close() })}
}

// natsTooLarge is JetStream's error code for a message above a stream's limit.
const natsTooLarge jetstream.ErrorCode = 10054

func (s *natsSender) Send(ctx context.Context, sub *hook.Subscription, d *hook.Delivery) deliver.Result {
	dest := &sub.Destination
	subject, err := subject(dest.Subject, d)
	if err != nil {
		return gatewayFailure(sub, "the destination's subject: "+err.Error())
	}
	msg := nats.NewMsg(subject)
	msg.Data, err = message(sub, d, natsBinding, func(name, value string) { msg.Header[name] = append(msg.Header[name], value) })
	if err != nil {
		return gatewayFailure(sub, "the destination's "+err.Error())
	}

	key := dest.URL + " " + allowKey(dest.Allow)
	conn, release, err := s.pool.get(ctx, key, func() (*natsConn, error) {
		return s.connect(ctx, dest.URL, dest.Allow)
	})
	if err != nil {
		return natsFailure(ctx, sub, err)
	}
	defer release()
	_, err = conn.js.PublishMsg(ctx, msg, jetstream.WithMsgID(d.Event.ID+":"+d.Subscription))
	var api *jetstream.APIError
	switch {
	case err == nil:
		return deliver.Result{Class: "ok"}
	case errors.Is(err, nats.ErrMaxPayload), errors.As(err, &api) && api.ErrorCode == natsTooLarge:
		return deliver.Result{Class: "broker", Permanent: true,
			Error: clean(fmt.Sprintf("the payload of %d bytes is larger than the broker takes: %v", len(msg.Data), err), sub)}
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return deliver.Result{Class: "broker",
			Error: clean(fmt.Sprintf("no JetStream stream of the server takes the subject %q", subject), sub)}
	case errors.Is(err, nats.ErrConnectionClosed):
		s.pool.discard(key, func(c *natsConn) bool { return c == conn })
	}
	if cause := conn.dialer.last.Load(); cause != nil && !conn.nc.IsConnected() {
		err = fmt.Errorf("not connected: %w", *cause)
	}
	return natsFailure(ctx, sub, err)
}

func natsFailure(ctx context.Context, sub *hook.Subscription, err error) deliver.Result {
	if errors.Is(err, nats.ErrTimeout) && ctx.Err() == nil {
		// Not the attempt's own deadline: connecting took too long.
		return deliver.Result{Class: "timeout", Error: clean(err.Error(), sub)}
	}
	if errors.Is(err, nats.ErrTLS) {
		err = &tlsError{err}
	}
	return failure(ctx, sub, err, "broker")
}

// connect opens a connection that from then on reconnects by itself.
func (s *natsSender) connect(ctx context.Context, url string, allow []netip.Prefix) (*natsConn, error) {
	timeout := 10 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(deadline), time.Millisecond)
	}
	dialer := &natsDialer{dialer: newDialer(s.o, allow), timeout: timeout}
	options := []nats.Option{
		nats.Name("switchhook"),
		nats.SetCustomDialer(dialer),
		nats.SkipHostLookup(), // the dialer does it
		nats.Timeout(timeout),
		nats.MaxReconnects(-1),
		// What cannot be sent now is the delivery engine's to repeat.
		nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			s.o.Logger.Debug("nats destination", "error", err)
		}),
	}
	if s.o.TLS != nil && strings.Contains(url, "tls://") {
		// Not for other URLs: the library takes a TLS configuration to mean
		// that all servers it learns of speak TLS.
		options = append(options, nats.Secure(s.o.TLS.Clone()))
	}
	nc, err := nats.Connect(url, options...)
	if err != nil {
		// It says only that no server was available; why is what dialing said.
		if cause := dialer.last.Load(); cause != nil && errors.Is(err, nats.ErrNoServers) {
			err = *cause
		}
		return nil, fmt.Errorf("connect: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &natsConn{nc, js, dialer}, nil
}

// natsDialer is a guarded dialer that remembers its last failure.
type natsDialer struct {
	dialer  *net.Dialer
	timeout time.Duration
	last    atomic.Pointer[error]
}

func (d *natsDialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d.timeout)
	defer cancel()
	conn, err := d.dialer.DialContext(ctx, network, address)
	if err != nil {
		d.last.Store(&err)
	}
	return conn, err
}

func (s *natsSender) Close() error {
	s.pool.close()
	return nil
}
