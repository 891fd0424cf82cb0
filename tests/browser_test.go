package tests

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a page of the console in a headless Chromium.
type browser struct {
	t    *testing.T
	base string
	ctx  context.Context
	mu   sync.Mutex
	bad  []string // what the browser complained about
}

func newBrowser(t *testing.T, base string) *browser {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			program = p
			break
		}
	}
	if program == "" {
		need(t, "there is no Chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.WindowSize(1280, 900))
	allocated, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 5*time.Minute)
	b := &browser{t: t, base: base, ctx: ctx}
	thrown, logged := chromedp.Events(ctx, runtime.ExceptionThrown), chromedp.Events(ctx, log.EntryAdded)
	var listening sync.WaitGroup
	listening.Go(func() {
		for e, err := range thrown {
			if err != nil {
				return
			}
			text := e.ExceptionDetails.Text
			if thrown := e.ExceptionDetails.Exception; thrown != nil {
				text += " " + thrown.Description
			}
			b.complain("exception: " + text)
		}
	})
	listening.Go(func() {
		for e, err := range logged {
			if err != nil {
				return
			}
			// An answer with an error status is told to the person by the page.
			if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork {
				b.complain(string(e.Entry.Source) + ": " + e.Entry.Text)
			}
		}
	})
	t.Cleanup(func() { cancel(); listening.Wait() })
	if _, err := chromedp.Run(ctx, call(log.Enable, cdp.Empty{})); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(base)); err != nil {
		t.Fatal(err)
	}
	return b
}

// complaints fails the test where the browser complained, such as about the
// content security policy or an exception.
func (b *browser) complaints() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.bad {
		b.t.Error("the browser says: " + line)
	}
	b.bad = nil
}

func (b *browser) run(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.shoot("failure")
		b.complaints()
		b.t.Fatalf("%s: %v\nthe page says:\n%s", what, err, b.text())
	}
}

func (b *browser) complain(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bad = append(b.bad, line)
}

// call is an action that calls a command of the browser.
func call[P, R any](command cdp.Command[P, R], parameters P) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, command, parameters)
		return chromedp.Void{}, err
	}
}

func (b *browser) text() string {
	text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body.innerText`))
	return text
}

// open goes to a place of the console.
func (b *browser) open(place string) {
	b.t.Helper()
	b.run("open "+place, chromedp.Navigate(b.base+"/#/"+place))
}

// sees waits until the page shows all of the texts.
func (b *browser) sees(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.run("see "+text, chromedp.Poll[chromedp.Void](fmt.Sprintf(`document.body.innerText.includes(%q)`, text), chromedp.WithPollingInterval(20*time.Millisecond)))
	}
}

// click clicks the first button or link with that text, once there is one that can be clicked.
func (b *browser) click(text string) {
	b.t.Helper()
	b.run("click "+text, chromedp.Poll[chromedp.Void](fmt.Sprintf(`(() => {
		const e = [...document.querySelectorAll('button, a, summary, [role=tab]')].find((e) => e.textContent.trim() === %q && !e.disabled && e.offsetParent)
		if (!e) return false
		e.scrollIntoView({block: 'center'}); e.focus(); e.click()
		return true
	})()`, text), chromedp.WithPollingInterval(20*time.Millisecond)))
}

func (b *browser) key(keys string) {
	b.t.Helper()
	b.run("press "+keys, chromedp.KeyEvent(keys))
}

// fill types into a field of a form.
func (b *browser) fill(selector, value string) {
	b.t.Helper()
	b.run("fill "+selector, chromedp.SetValue(chromedp.CSS(selector), value))
}

// shoot keeps a screenshot as an artefact of the test run (go test -artifacts -outputdir DIR).
func (b *browser) shoot(name string) {
	b.t.Helper()
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Log(err)
		return
	}
	if err := os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+".png"), picture, 0o644); err != nil {
		b.t.Log(err)
	}
}

// legible demands of what is shown a contrast of at least 4.5 (WCAG 2.2 AA; 3 for
// large text), names for what can be operated, and no sideways scrolling.
func (b *browser) legible() {
	b.t.Helper()
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](`(() => {
		const probe = document.createElement('canvas').getContext('2d', {willReadFrequently: true})
		const rgba = (css) => { probe.clearRect(0, 0, 1, 1); probe.fillStyle = css; probe.fillRect(0, 0, 1, 1); return [...probe.getImageData(0, 0, 1, 1).data] }
		const lum = ([r, g, b]) => { const f = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4 }; return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b) }
		const under = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > 250) return c } return [255, 255, 255] }
		const bad = []
		for (const e of document.querySelectorAll('body *')) {
			if (!e.offsetParent && !(e instanceof SVGElement) || e.closest('.hidden, .skip')) continue
			if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || e.closest('svg') && e.tagName !== 'text' || e.disabled) continue
			const s = getComputedStyle(e), a = lum(rgba(e.tagName === 'text' ? s.fill : s.color)), c = lum(under(e))
			const ratio = (Math.max(a, c) + 0.05) / (Math.min(a, c) + 0.05)
			const large = parseFloat(s.fontSize) >= 24 || parseFloat(s.fontSize) >= 18.66 && s.fontWeight >= 700
			if (ratio < (large ? 3 : 4.5)) bad.push('contrast ' + ratio.toFixed(2) + ' of <' + e.tagName + ' class=' + (e.className.baseVal ?? e.className) + '> ' + e.textContent.trim().slice(0, 40))
		}
		for (const e of document.querySelectorAll('button, a, input, select, textarea, summary')) {
			const name = e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels.length && e.labels[0].textContent.trim()) || e.querySelector('img[alt]')
			if (!name && e.offsetParent) bad.push('no name: ' + e.outerHTML.slice(0, 100))
		}
		if (document.documentElement.scrollWidth > innerWidth) bad.push('scrolls sideways: ' + document.documentElement.scrollWidth + ' in ' + innerWidth)
		return bad
	})()`))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range found {
		b.t.Error(f)
	}
}

const shopConnector = `
key: shop
name: The Shop
description: A shop that sells things.
configuration: |
  # Set it up

  Put the URL into *Settings*, then **Webhooks**. <script>alert(1)</script>
globalWebhooks:
  events:
    name: Orders
    verify: none
    handle: |
      export default function handle({ data }) {
        console.log('an order of', data.customer)
        return { events: [{ selector: 'order/' + data.customer.toUpperCase(), payload: data }] }
      }
`

// TestConsole walks through the console as a person would.
func TestConsole(t *testing.T) {
	good := newTextReceiver(t)
	g := newGateway(t, `{type: http, url: "`+good.URL+`", allow: [127.0.0.0/8], retry: {delays: [0s]}}`,
		`      others: {integration: echo, selector: "order/BOB", filter: {amount: {$gt: 100}}, destination: {type: file, path: out.ndjson}}`,
	)
	write(t, filepath.Join(g.dir, "connectors", "echo.yml"), strings.Replace(shopConnector, "key: shop", "key: echo", 1))
	g.start()
	b := newBrowser(t, g.base)
	send := func(body string) int {
		resp, err := caller.Post(g.url, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}

	// A webhook appears while one looks, and can be opened with the keyboard.
	b.open("requests")
	b.sees("No requests yet.", "live")
	if status := send(`{"customer":"ann","amount":12,"big":90071992547409931,"html":"<img src=x onerror=alert(1)>"}`); status != 200 {
		t.Fatalf("answered %d", status)
	}
	b.sees("accepted", "main/echo/events")
	b.key("j")
	b.key("\r")
	b.sees("Received", "order/ANN", "an order of ann", "1 attempt", "done", "90071992547409931")
	b.legible()
	b.shoot("request")

	// Why did the other subscription not get it?
	b.click("Why not the others?")
	b.sees("main/others", "order/BOB")
	b.legible()

	// A handler fails; it is mended on disk; a dry run shows what it does now; a replay delivers.
	if status := send(`{"amount":7}`); status != 500 {
		t.Fatalf("answered %d", status)
	}
	b.open("requests?outcome=failed")
	b.sees("failed", "500")
	b.key("j")
	b.key("\r")
	b.sees("thrown", "toUpperCase", "echo.yml")
	b.legible()
	b.shoot("failure-frame")
	write(t, filepath.Join(g.dir, "connectors", "echo.yml"), strings.Replace(strings.Replace(shopConnector, "key: shop", "key: echo", 1),
		"data.customer.toUpperCase()", "(data.customer || 'nobody').toUpperCase()", 1))
	g.await("the mended handler is taken over", func() bool { return send(`{"amount":8}`) == 200 })
	b.click("Dry run")
	b.sees("Nothing was stored", "added", "order/NOBODY")
	b.legible()
	b.click("Replay")
	b.click("Yes")
	b.sees("Replayed", "accepted", "1 attempt")
	g.await("the mended request is delivered", func() bool { return good.has(`{"amount":7}`) })

	// A new subscription, made in the console, with a mistake first; then a test event.
	b.open("subscriptions/new")
	b.sees("Where to")
	b.fill(`input[name=name]`, "mine")
	b.fill(`input[name=url]`, good.URL)
	b.fill(`textarea[name=filter]`, `{"amount": {"$gtt": 5}}`)
	b.click("Create")
	b.sees("$gtt")
	b.legible()
	b.fill(`textarea[name=filter]`, `{"amount": {"$gt": 5}}`)
	b.fill(`input[name=allow]`, "127.0.0.0/8")
	b.fill(`input[name=secret]`, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	b.click("Create")
	b.sees("main/mine", "Edit")
	b.click("Send a test")
	b.sees("Test event", "answered 200")
	b.legible()
	b.shoot("subscription")
	if strings.Contains(b.html(), "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") {
		t.Error("a secret is in the page")
	}
	b.click("Edit")
	b.fill(`input[name=selector]`, "order/*")
	b.click("Save")
	b.sees("order/*")
	b.click("Pause")
	b.sees("paused", "Resume")
	b.click("Resume")
	b.sees("active")

	// Dead deliveries, replayed all at once.
	good.fail.Store(true)
	for n := range 3 {
		if status := send(fmt.Sprintf(`{"customer":"eve","n":%d}`, n)); status != 200 {
			t.Fatalf("answered %d", status)
		}
	}
	b.open("subscriptions/main/all")
	b.sees("Dead deliveries", "order/EVE", "Replay all")
	b.legible()
	good.fail.Store(false)
	b.click("Replay all")
	b.click("Yes")
	b.sees("3 deliveries are under way again.", "None.")
	g.await("the dead deliveries arrive", func() bool {
		return good.has(`{"customer":"eve","n":0}`) && good.has(`{"customer":"eve","n":1}`) && good.has(`{"customer":"eve","n":2}`)
	})

	// A broken save is shown with its frame, and the last good version serves on.
	text := strings.Replace(shopConnector, "key: shop", "key: echo", 1)
	write(t, filepath.Join(g.dir, "connectors", "echo.yml"), strings.Replace(text, "globalWebhooks:", "globalWebhook:", 1))
	b.open("connectors/echo")
	b.sees("stale", "did you mean", "The last good version serves on")
	b.legible()
	b.shoot("connector-broken")
	write(t, filepath.Join(g.dir, "connectors", "echo.yml"), text)
	b.sees("up", "How to set it up", "Set it up")
	if strings.Contains(b.html(), "<script>alert(1)</script>") {
		t.Error("raw HTML of configuration.md is in the page")
	}
	b.legible()

	// Under a flood the list holds still while a person is at it.
	b.open("requests")
	b.sees("main/echo/events")
	b.key("jj")
	first := b.selected()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 250 {
				send(`{"customer":"flood"}`)
			}
		})
	}
	b.sees("new, show")
	if now := b.selected(); now != first {
		t.Errorf("the selected row was %q, and is %q after more came", first, now)
	}
	wg.Wait()
	if rows := b.number(`document.querySelectorAll('tbody tr').length`); rows > 400 {
		t.Errorf("the list has %d rows", rows)
	}
	b.click("300 or more new, show")
	b.sees("main/echo/events")

	// A webhook that verifies turns a stranger away; that is not stored, and can be seen.
	write(t, filepath.Join(g.dir, "connectors", "echo.yml"), strings.Replace(text, "verify: none", "verify: {scheme: token, header: X-Token, secret: parameters.secret}", 1))
	config, err := os.ReadFile(filepath.Join(g.dir, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(g.dir, "config.yaml"), strings.Replace(string(config), "{connector: echo}", "{connector: echo, parameters: {secret: tell-nobody}}", 1))
	g.await("strangers are turned away", func() bool { return send(`{}`) == 401 })
	b.open("requests?outcome=unverified")
	b.sees("401", "X-Token")
	b.legible()
	if strings.Contains(b.html(), "tell-nobody") {
		t.Error("a parameter is in the page")
	}

	// Every page in both themes and at the width of a phone.
	for _, theme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 390} {
			b.run("size", call(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 844, DeviceScaleFactor: 1}),
				call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}}))
			for place, text := range map[string]string{"": "Time to answer", "requests": "accepted", "connectors": "The Shop", "subscriptions": "main/mine", "subscriptions/main/mine": "Success",
				"subscriptions/new": "Where to", "changes": "subscription.create", "connectors/echo": "Set it up"} {
				b.open(place)
				b.sees(text)
				b.legible()
				b.shoot(fmt.Sprintf("%s-%s-%d", strings.ReplaceAll(place, "/", "-"), theme, width))
			}
		}
	}
	b.complaints()
	g.stop()
}

// selected is the text of the selected row.
func (b *browser) selected() string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`(document.querySelector('tr.selected') || {innerText: ''}).innerText`))
	if err != nil || text == "" {
		b.t.Fatalf("no row is selected: %v", err)
	}
	return text
}

func (b *browser) number(expression string) int {
	b.t.Helper()
	n, err := chromedp.Run(b.ctx, chromedp.Evaluate[int](expression))
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b *browser) html() string {
	b.t.Helper()
	html, err := chromedp.Run(b.ctx, chromedp.OuterHTML(chromedp.CSS("html")))
	if err != nil {
		b.t.Fatal(err)
	}
	return html
}

// textReceiver keeps the bodies that it gets.
type textReceiver struct {
	*httptest.Server
	fail atomic.Bool
	mu   sync.Mutex
	got  map[string]bool
}

func newTextReceiver(t *testing.T) *textReceiver {
	r := &textReceiver{got: map[string]bool{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		if r.fail.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		r.mu.Lock()
		r.got[string(body)] = true
		r.mu.Unlock()
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *textReceiver) has(body string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[body]
}
