package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// contestants start everything that is compared, with as many subscriptions.
func (b *bench) contestants(subscriptions int) (list []*program, missing string, err error) {
	add := func(p *program, err error) error {
		if p != nil {
			list = append(list, p)
		}
		return err
	}
	exact := exactSubscriptions(subscriptions, "push/org%[2]d/repository%[2]d")
	err = errors.Join(
		add(b.baseline("fasthttp, body echo", "echo")),
		add(b.baseline("the same, and a group fdatasync", "sync")),
	)
	for _, isolation := range []string{"in-process", "process"} {
		p, _, e := b.switchhook("Switchhook, "+isolation, filepath.Join(b.dir, isolation), gateway{isolation: isolation, subscriptions: exact})
		err = errors.Join(err, add(p, e))
	}
	node, missing, e := b.node(subscriptions)
	err = errors.Join(err, add(node, e))
	return list, missing, err
}

func stopAll(list []*program) {
	for _, p := range list {
		if err := p.stop(); err != nil {
			progress("stopping %s: %v", p.name, err)
		}
	}
}

// compare is the receive path: verify, handle, match among 10,000 subscriptions, commit durably, respond.
func (b *bench) compare() error {
	list, missing, err := b.contestants(10_000)
	defer stopAll(list)
	if err != nil {
		return err
	}
	t := table{
		Title: "Receive path",
		Text: "A push of 7 KB is verified (HMAC-SHA256), handled by a JavaScript function that emits two events, matched against 10,000 subscriptions, " +
			"written and synced to the disk, and answered. Echo is what fasthttp does without any of this. Client and server share the machine.",
		Columns: []string{"", "connections", "requests/s", "of echo", "(lowest to highest round)", "p50", "p99", "p99/p50", "CPU per request"},
	}
	if missing != "" {
		t.Text += " Node is missing here: " + missing + "."
	}
	plot := plot{Title: "Receive path: throughput against connections", X: "connections", Y: "requests/s", LogX: true}
	body := push(pushSize)
	counts := []int{1, 16, 64, 256}
	lines := make([][]point, len(list))
	for _, connections := range counts {
		results := make([][]result, len(list))
		rounds := b.rounds()
		if connections != 64 && connections != 256 {
			rounds = 1
		}
		for range rounds {
			for i, p := range list {
				m := message(p.path, body)
				r, err := drive(b.ctx, p, connections, b.duration(), func(int64) []byte { return m })
				if err != nil {
					return err
				}
				results[i] = append(results[i], r)
				progress("%4d connections  %-32s %9.0f/s  p99 %8v  %v", connections, p.name, r.rate, r.p99.Round(time.Microsecond), r.cpu)
			}
		}
		for i, p := range list {
			r := median(results[i], func(r result) float64 { return r.rate })
			lines[i] = append(lines[i], point{float64(connections), r.rate})
			if strings.HasSuffix(p.name, ", process") && connections == 64 {
				b.report.figures.Receive = median(results[i], func(r result) float64 { return float64(r.cpu) }).cpu.Seconds()
			}
			if rounds == 1 {
				continue
			}
			var ratios []float64
			for round := range rounds {
				ratios = append(ratios, results[i][round].rate/results[0][round].rate)
			}
			slices.Sort(ratios)
			p99 := median(results[i], func(r result) float64 { return float64(r.p99) / float64(r.p50) })
			t.row(p.name, fmt.Sprint(connections), fmt.Sprintf("%.0f", r.rate), fmt.Sprintf("%.3f", ratios[len(ratios)/2]), fmt.Sprintf("%.3f to %.3f", ratios[0], ratios[len(ratios)-1]),
				short(r.p50), short(r.p99), fmt.Sprintf("%.1f", float64(p99.p99)/float64(p99.p50)), short(median(results[i], func(r result) float64 { return float64(r.cpu) }).cpu))
		}
	}
	for i, p := range list {
		plot.Lines = append(plot.Lines, line{p.name, lines[i]})
	}
	b.report.add("compare", t, plot)
	return nil
}

// median returns the result in the middle by what key says.
func median(list []result, key func(result) float64) result {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b result) int {
		switch x, y := key(a), key(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	return list[len(list)/2]
}

// deliver is the whole way: received, stored, and delivered to a receiver in this process, two deliveries for each request.
func (b *bench) deliver() error {
	addr, count, stop, err := receiver()
	if err != nil {
		return err
	}
	defer stop()
	destination := fmt.Sprintf("{type: http, url: http://%s/, secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, concurrency: 64, allow: [127.0.0.0/8]}", addr)
	subscriptions := "      pushes: {integration: bench, webhook: events, selector: push/octocat/*, destination: " + destination + "}\n" +
		"      refs: {integration: bench, webhook: events, selector: ref/**, destination: " + destination + "}\n"
	echo, err := b.baseline("fasthttp, body echo", "echo")
	if err != nil {
		return err
	}
	defer stopAll([]*program{echo})
	p, _, err := b.switchhook("Switchhook", filepath.Join(b.dir, "deliver"), gateway{isolation: "process", subscriptions: subscriptions})
	if err != nil {
		return err
	}
	defer stopAll([]*program{p})
	body := push(pushSize)
	d := 60 * time.Second
	if b.quick {
		d = 10 * time.Second
	}
	r0, err := drive(b.ctx, echo, 64, b.duration(), func(int64) []byte { return message(echo.path, body) })
	if err != nil {
		return err
	}
	m := message(p.path, body)
	t := table{Title: "Deliver path", Text: "Requests as above are received, and each of the two events delivered by HTTP to a receiver on the same machine, signed. " +
		"The sender sends as fast as it is answered; what is not delivered when it stops is waited for.",
		Columns: []string{"requests/s received", "deliveries/s", "requests delivered, of echo", "CPU per delivery, receiving included", "waited for at the end", "memory after a third", "memory at the end"}}
	cpu, began, before := p.cpu(), time.Now(), count.Load()
	memory := make(chan int64, 1)
	timer := time.AfterFunc(d/3, func() { own, _ := p.memory(); memory <- own })
	defer timer.Stop()
	r, err := drive(b.ctx, p, 64, d*4/5, func(int64) []byte { return m })
	if err != nil {
		return err
	}
	atEnd, _ := p.memory()
	stopped := time.Now()
	for last, quiet := count.Load(), 0; quiet < 10; { // a second without a delivery
		time.Sleep(100 * time.Millisecond)
		if now := count.Load(); now != last {
			last, quiet = now, 0
		} else {
			quiet++
		}
	}
	waited := max(0, time.Since(stopped)-time.Second)
	delivered := count.Load() - before
	took := stopped.Add(waited).Sub(began)
	rate := float64(delivered) / took.Seconds()
	each := (p.cpu() - cpu) / time.Duration(max(1, delivered))
	// What is left of it when a request of two deliveries is received.
	b.report.figures.Delivery = max(each.Seconds()-r.cpu.Seconds()/2, each.Seconds()/3)
	t.row(fmt.Sprintf("%.0f", r.rate), fmt.Sprintf("%.0f", rate), fmt.Sprintf("%.3f", rate/2/r0.rate), short(each), short(waited), size(<-memory), size(atEnd))
	b.report.add("deliver", t, plot{})
	return nil
}

// subscriptions is what a request costs against the number of subscriptions that do not match it.
func (b *bench) subscriptions() error {
	t := table{Title: "Cost against subscriptions", Text: "The same requests, with as many subscriptions that do not match: of `push/orgN/repositoryN`, or of `push/orgN/*`. They stand in config.yaml, a million, " +
		"which would be larger than that may be, in the store. All run at once and take turns; \"of the first\" is the median of the ratios within one round.",
		Columns: []string{"subscriptions", "CPU per request", "of the first", "requests/s", "start", "memory when idle", "memory after"}}
	plot := plot{Title: "CPU per request against subscriptions", X: "subscriptions", Y: "µs", LogX: true}
	cases := []struct {
		n     int
		kind  string
		start string
		idle  int64
	}{{n: 10, kind: "exact"}, {n: 1_000, kind: "exact"}, {n: 100_000, kind: "exact"}, {n: 1_000_000, kind: "exact"}, {n: 10, kind: "wildcards"}, {n: 100_000, kind: "wildcards"}}
	if b.quick { // a million take a minute to be stored
		cases = slices.Delete(cases, 3, 4)
	}
	var list []*program
	defer func() { stopAll(list) }()
	for i := range cases {
		c := &cases[i]
		name, pattern := fmt.Sprint(c.n, " ", c.kind), "push/org%[2]d/repository%[2]d"
		if c.kind == "wildcards" {
			pattern = "push/org%[2]d/*"
		}
		g := gateway{isolation: "in-process"}
		if c.n > 100_000 {
			g.stored = c.n
		} else {
			g.subscriptions = exactSubscriptions(c.n, pattern)
		}
		p, start, err := b.switchhook(name, filepath.Join(b.dir, "subscriptions", strings.ReplaceAll(name, " ", "-")), g)
		if err != nil {
			return err
		}
		list = append(list, p)
		p.settle(b.ctx)
		c.start = short(start)
		c.idle, _ = p.memory()
		progress("%-20s starts in %v, then takes %s", name, start, size(c.idle))
	}
	results, ratios := make([][]result, len(list)), make([][]float64, len(list))
	for range min(5, b.rounds()) {
		for i, p := range list {
			m := message(p.path, push(pushSize))
			r, err := drive(b.ctx, p, 64, b.duration()/2, func(int64) []byte { return m })
			if err != nil {
				return err
			}
			results[i] = append(results[i], r)
			ratios[i] = append(ratios[i], float64(r.cpu)/float64(results[0][len(results[i])-1].cpu))
			progress("%-20s %v", p.name, r.cpu)
		}
	}
	lines := map[string][]point{}
	for i, p := range list {
		c, r := cases[i], median(results[i], func(r result) float64 { return float64(r.cpu) })
		slices.Sort(ratios[i])
		own, _ := p.memory()
		t.row(p.name, short(r.cpu), fmt.Sprintf("%.2f", ratios[i][len(ratios[i])/2]), fmt.Sprintf("%.0f", r.rate), c.start, size(c.idle), size(own))
		lines[c.kind] = append(lines[c.kind], point{float64(c.n), float64(r.cpu) / 1e3})
	}
	plot.Lines = []line{{"exact", lines["exact"]}, {"wildcards", lines["wildcards"]}}
	b.report.add("subscriptions", t, plot)
	return nil
}

// bodies is what a request costs against the size of its body.
func (b *bench) bodies() error {
	p, _, err := b.switchhook("Switchhook", filepath.Join(b.dir, "bodies"), gateway{isolation: "in-process", maxBody: "16MiB"})
	if err != nil {
		return err
	}
	defer stopAll([]*program{p})
	t := table{Title: "Cost against the size of the body", Columns: []string{"body", "requests/s", "MB/s", "CPU per request", "CPU per KB", "p99", "memory"}}
	plot := plot{Title: "CPU per request against the size of the body", X: "KB", Y: "µs", LogX: true, LogY: true}
	var points []point
	for _, n := range []int{1_000, 10_000, 100_000, 1_000_000, 10_000_000} {
		m := message(p.path, push(n))
		connections := min(64, max(4, 32_000_000/n)) // within what may be under way at once
		r, err := drive(b.ctx, p, connections, b.duration(), func(int64) []byte { return m })
		if err != nil {
			return err
		}
		own, _ := p.memory()
		progress("%8d bytes %9.0f/s %v", n, r.rate, r.cpu)
		t.row(size(int64(len(m))), fmt.Sprintf("%.0f", r.rate), fmt.Sprintf("%.0f", r.rate*float64(len(m))/1e6), short(r.cpu), short(r.cpu*1000/time.Duration(len(m))), short(r.p99), size(own))
		points = append(points, point{float64(len(m)) / 1e3, float64(r.cpu) / 1e3})
	}
	plot.Lines = []line{{"Switchhook", points}}
	b.report.add("bodies", t, plot)
	return nil
}

// stored is how fast requests are received when many are stored already. They are small, so that the disk suffices.
func (b *bench) stored() error {
	target := 10_000_000
	if b.quick {
		target = 200_000
	}
	p, _, err := b.switchhook("Switchhook", filepath.Join(b.dir, "stored"), gateway{isolation: "in-process"})
	if err != nil {
		return err
	}
	defer stopAll([]*program{p})
	t := table{Title: "Cost against stored requests", Text: "Requests of 600 bytes, over 256 connections.", Columns: []string{"stored requests", "requests/s", "of the empty store's", "CPU per request", "p99"}}
	plot := plot{Title: "Throughput against stored requests", X: "stored requests", Y: "requests/s", LogX: true}
	m := message(p.path, push(600))
	var points []point
	total, next, first := 0.0, 50_000.0, 0.0
	for total < float64(target) {
		r, err := drive(b.ctx, p, 256, b.duration(), func(int64) []byte { return m })
		if err != nil {
			return err
		}
		total += r.rate * b.duration().Seconds() * 5 / 4
		if total < next && total < float64(target) {
			continue
		}
		if first == 0 {
			first = r.rate
		}
		next = total * 2
		progress("%10.0f stored %9.0f/s", total, r.rate)
		t.row(fmt.Sprintf("%.0f", total), fmt.Sprintf("%.0f", r.rate), fmt.Sprintf("%.2f", r.rate/first), short(r.cpu), short(r.p99))
		points = append(points, point{total, r.rate})
	}
	plot.Lines = []line{{"Switchhook", points}}
	b.report.add("stored", t, plot)
	return nil
}

// integrations is a gateway with many connectors and integrations.
func (b *bench) integrations() error {
	const connectors, integrations = 300, 2000
	g := gateway{isolation: "in-process", files: map[string]string{}}
	for i := range connectors {
		g.files[fmt.Sprintf("connectors/c%d.yml", i)] = strings.NewReplacer("key: bench", fmt.Sprint("key: c", i), "name: Bench", fmt.Sprint("name: C", i), "'push/'", fmt.Sprintf("'push%d/'", i)).Replace(benchConnector)
	}
	var b2 strings.Builder
	for i := range integrations {
		fmt.Fprintf(&b2, "      i%d: {connector: c%d, parameters: {secret: %s}}\n", i, i%connectors, secret)
	}
	g.integrations = b2.String()
	dir := filepath.Join(b.dir, "integrations")
	t := table{Title: "2,000 integrations of 300 connectors", Columns: []string{"first start", "start with compiled output kept", "memory when idle", "reload of one connector, until it serves"}}
	p, cold, err := b.switchhook("Switchhook", dir, g)
	if err != nil {
		return err
	}
	if err := p.stop(); err != nil {
		return err
	}
	p, warm, err := b.switchhook("Switchhook", dir, g)
	if err != nil {
		return err
	}
	defer stopAll([]*program{p})
	time.Sleep(3 * time.Second)
	own, _ := p.memory()
	reload, err := b.reload(p, dir)
	if err != nil {
		return err
	}
	progress("cold %v, warm %v, memory %s, reload %v", cold, warm, size(own), reload)
	t.row(short(cold), short(warm), size(own), short(reload))
	b.report.add("integrations", t, plot{})
	return nil
}

// start is how long it takes from the start of the process to the first answer, and what an idle gateway takes.
func (b *bench) start() error {
	t := table{Title: "Start and rest", Text: "From the start of the process until the first request is answered, with all bundled connectors; the memory 5 seconds after that.",
		Columns: []string{"", "first start", "start with compiled output kept", "memory when idle", "with workers, shared pages once"}}
	for _, isolation := range []string{"in-process", "process"} {
		g := gateway{isolation: isolation, files: map[string]string{}}
		if err := bundled(g.files); err != nil {
			return err
		}
		dir := filepath.Join(b.dir, "start-"+isolation)
		var cold time.Duration
		var warm []result
		var own, all int64
		for i := range 6 {
			p, took, err := b.switchhook("Switchhook", dir, g)
			if err != nil {
				return err
			}
			if i == 0 {
				cold = took
			} else {
				warm = append(warm, result{p50: took})
			}
			if i == 5 {
				time.Sleep(5 * time.Second)
				own, all = p.memory()
			}
			if err := p.stop(); err != nil {
				return err
			}
		}
		r := median(warm, func(r result) float64 { return float64(r.p50) })
		progress("%s: cold %v, warm %v, memory %s, with workers %s", isolation, cold, r.p50, size(own), size(all))
		t.row(isolation, short(cold), short(r.p50), size(own), size(all))
	}
	b.report.add("start", t, plot{})
	return nil
}
