package destination

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"switchhook/gateway/deliver"
	"switchhook/gateway/hook"
)

const (
	keptResponse  = 4 << 10  // of an answer's body
	drainResponse = 64 << 10 // read so that the connection can be used again
	maxTransports = 256
)

// httpSender sends the event's payload with POST, after the Standard Webhooks
// specification: https://github.com/standard-webhooks/standard-webhooks.
//
// The status decides: 2xx is success, whatever becomes of the answer's body.
// Of that, the first 4 KiB are kept and at most 64 KiB read, within the attempt's
// timeout. Redirects are not followed. One Send is one request: it is not
// repeated on another connection when one breaks.
type httpSender struct {
	o         Options
	userAgent string

	mu         sync.Mutex
	transports map[string]*transport // by allowKey
	last       *transport            // the one that was asked for last
}

type transport struct {
	plain *plain
	other *http.Transport // for what plain does not take
	allow []netip.Prefix
	used  time.Time
}

func (t *transport) exchange(ctx context.Context, c *call, answered func(answer)) error {
	if t.plain.takes(c) {
		return t.plain.exchange(ctx, c, answered)
	}
	// A Transport, not a Client, which would follow redirects.
	resp, err := t.other.RoundTrip(c.request().WithContext(ctx))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answered(answerOf(resp))
	return nil
}

func (t *transport) closeIdle() {
	t.plain.closeIdle(0)
	t.other.CloseIdleConnections()
}

func newHTTP(o Options) *httpSender {
	agent := "Switchhook"
	if o.Version != "" {
		agent += "/" + o.Version
	}
	return &httpSender{o: o, userAgent: agent, transports: map[string]*transport{}}
}

func (s *httpSender) Send(ctx context.Context, sub *hook.Subscription, d *hook.Delivery) deliver.Result {
	c, err := s.call(sub, d)
	if err != nil {
		return gatewayFailure(sub, err.Error())
	}
	var r deliver.Result
	err = s.transport(sub.Destination.Allow).exchange(ctx, c, func(a answer) { r = s.result(a) })
	if err != nil {
		return failure(ctx, sub, err, "protocol")
	}
	return r
}

// result makes a Result of an answer, and reads its body.
func (s *httpSender) result(a answer) deliver.Result {
	r := deliver.Result{Status: a.status, Class: "ok"}
	if a.body != nil {
		kept, err := io.ReadAll(io.LimitReader(a.body, keptResponse))
		if err == nil && len(kept) == keptResponse {
			// What cannot be read makes no difference but that the connection is closed.
			_, _ = io.CopyN(io.Discard, a.body, drainResponse-keptResponse)
		}
		if len(kept) > 0 {
			r.Response = kept
		}
	}
	switch code := a.status; {
	case code >= 200 && code < 300:
		return r
	case code >= 300 && code < 400:
		r.Class, r.Error = "redirect", fmt.Sprintf("the receiver redirects (%s); deliveries do not follow", status(code))
	case code == http.StatusGone:
		r.Class, r.Error, r.Gone = "gone", "the receiver answered 410 Gone", true
	default:
		r.Class, r.Error = "status", "the receiver answered "+status(code)
		if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
			r.RetryAfter = retryAfter(a.retryAfter, s.o.Now())
		}
	}
	return r
}

// status is a status code with its registered name; what the receiver calls it
// may be anything.
func status(code int) string {
	return strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
}

// retryAfter reads a Retry-After field (RFC 9110, section 10.2.3): seconds or
// a date. It returns 0 for what is neither or over, and no more than
// deliver.MaxRetryAfter.
func retryAfter(v string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	if v == "" {
		return 0
	}
	if strings.Trim(v, "0123456789") == "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n > int64(deliver.MaxRetryAfter/time.Second) {
			return deliver.MaxRetryAfter // more digits than an int64 holds
		}
		return time.Duration(n) * time.Second
	}
	t, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(t.Sub(now), 0), deliver.MaxRetryAfter)
}

// call makes the request of one attempt. Its errors contain no part of the
// URL and no secret.
func (s *httpSender) call(sub *hook.Subscription, d *hook.Delivery) (*call, error) {
	dest := &sub.Destination
	u, err := url.Parse(dest.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("the destination's url is not an http or https URL")
	}
	c := &call{url: u, userAgent: s.userAgent, body: d.Event.Payload}
	contentType := "application/json"
	if dest.CloudEvents == "structured" {
		contentType = cloudEventType
		c.body = cloudEvent(d)
	}
	// In the order of their names, so that they need not be sorted where there are no others.
	c.fields = make([]field, 0, 8+len(dest.Headers))
	id, timestamp := encodeValue(d.Event.ID), strconv.FormatInt(s.o.Now().Unix(), 10)
	c.add("Content-Type", contentType)
	if trace := continueTrace(d.TraceParent); trace != "" {
		c.add("Traceparent", trace)
	}
	c.add("Webhook-Id", id)
	if len(dest.Secrets) > 0 {
		signature, err := sign(dest.Secrets, id, timestamp, c.body)
		if err != nil {
			return nil, err
		}
		c.add("Webhook-Signature", signature)
	}
	c.add("Webhook-Timestamp", timestamp)
	c.add("X-Switchhook-Selector", encodeValue(d.Event.Selector))
	c.add("X-Switchhook-Subscription", encodeValue(d.Subscription))

	switch dest.CloudEvents {
	case "", "structured":
	case "binary":
		cloudEventAttributes(d, func(name, value string) { c.add(canonical("ce-"+name), cloudEventValue(value)) })
	default:
		return nil, fmt.Errorf("cloudEvents is %q, not binary or structured", dest.CloudEvents)
	}
	named := false
	for _, h := range dest.Headers {
		if m := headerProblem(h.Name, h.Value); m != "" {
			return nil, errors.New(m)
		}
		name := canonical(h.Name)
		if name != "User-Agent" {
			c.add(name, h.Value)
		} else if !named { // there is but one
			named, c.userAgent = true, h.Value
		}
	}
	// A Client does this, a Transport does not.
	if u.User != nil && !c.has("Authorization") {
		password, _ := u.User.Password()
		c.add("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
	}
	return c, nil
}

// transport returns the transport that connects to what allow lists.
func (s *httpSender) transport(allow []netip.Prefix) *transport {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil && slices.Equal(s.last.allow, allow) {
		s.last.used = now
		return s.last
	}
	key := allowKey(allow)
	t := s.transports[key]
	if t == nil {
		if len(s.transports) >= maxTransports {
			s.evict()
		}
		t = s.newTransport(allow)
		s.transports[key] = t
	}
	t.used = now
	s.last = t
	return t
}

// evict closes the transport that was not used for longest. Connections in
// use return to it, and close when they were idle for IdleConnTimeout.
func (s *httpSender) evict() {
	oldest := ""
	for key, t := range s.transports {
		if old := s.transports[oldest]; old == nil || t.used.Before(old.used) {
			oldest = key
		}
	}
	s.transports[oldest].closeIdle()
	if s.last == s.transports[oldest] {
		s.last = nil
	}
	delete(s.transports, oldest)
}

func (s *httpSender) newTransport(allow []netip.Prefix) *transport {
	config := s.o.TLS.Clone()
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config.NextProtos = []string{"h2", "http/1.1"}
	dialer := newDialer(s.o, allow)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	other := &http.Transport{
		Proxy:       nil, // none from the environment either: it would connect where the guard cannot see
		DialContext: dialer.DialContext,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialTLS(ctx, dialer, config, network, address)
		},
		TLSClientConfig:        config,
		Protocols:              &protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
		DisableCompression:     true,
		MaxIdleConns:           maxIdleConns,
		MaxIdleConnsPerHost:    maxIdleConnsPerHost,
		IdleConnTimeout:        idleConnTimeout,
		MaxResponseHeaderBytes: maxResponseHead,
		WriteBufferSize:        writeBuffer,
	}
	return &transport{plain: newPlain(dialer), other: other, allow: allow}
}

func dialTLS(ctx context.Context, dialer *net.Dialer, config *tls.Config, network, address string) (net.Conn, error) {
	raw, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			host = address
		}
		config = config.Clone()
		config.ServerName = host
	}
	// The transport dials apart from the request, so that another one may have
	// the connection: without this a handshake that hangs would hang for ever.
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, &tlsError{err}
	}
	return conn, nil
}

func (s *httpSender) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.transports {
		t.closeIdle()
	}
	s.transports, s.last = map[string]*transport{}, nil
	return nil
}
