// Subscriptions and the destinations they go to: how they fare, and how to change them.
import { html, useState, useRef, useEffect } from './vendor/preact-htm.js'
import { api, idPath, query, splitID } from './api.js'
import { Badge, Code, Confirm, Empty, Failure, Loading, Spark, Status, Tile, Time, link, useAction, useEvery, useLoad } from './widgets.js'
import { Delivery } from './request.js'
import * as format from './format.js'

const page = 100

export function Subscriptions() {
  const [cursors, move] = useState([''])
  const fields = query({ limit: page, cursor: cursors[cursors.length - 1] })
  const subs = useLoad('/subscriptions' + fields)
  const sendings = useLoad('/destinations' + fields)
  useEvery(5000, () => { subs.reload(); sendings.reload() })
  return html`<div class="title"><h1>Subscriptions</h1><a class="button primary" href="#/subscriptions/new">New subscription</a></div>
    <${Loading} of=${subs}>${(list) => {
      if (list.items.length === 0 && cursors.length === 1) return html`<${Empty} title="There are no subscriptions."><p>Without one, events are kept and go nowhere.</p><//>`
      const of = new Map((sendings.data ? sendings.data.items : []).map((s) => [s.subscription, s]))
      return html`<div class="scroll"><table><thead><tr><th>Subscription</th><th>State</th><th class="wide">Events</th><th>Destination</th><th>Last hour</th><th class="number">Success</th><th class="number wide">p50 / p99</th><th>Breaker</th><th class="number">Backlog</th><th class="number">Dead</th></tr></thead>
        <tbody>${list.items.map((s) => {
          const d = of.get(s.id)
          return html`<tr key=${s.id}><td><a href=${link('subscriptions', ...splitID(s.id))}>${s.id}</a></td><td><${State} s=${s} /></td>
            <td class="wide">${s.integration} <code>${s.event || s.selector}</code></td><td><${Target} d=${s.destination} /></td>
            ${d ? html`<td><${Spark} traffic=${d.traffic} /></td><td class="number">${d.successRate === undefined ? '–' : format.percent(d.successRate)}</td>
              <td class="number wide">${d.took.count ? `${format.span(d.took.p50)} / ${format.span(d.took.p99)}` : '–'}</td><td><${Badge} value=${d.delivering.breaker} /></td>
              <td class="number">${most(d.backlog, d.countedTo)}</td><td class="number">${d.dead > 0 ? html`<${Badge} value="dead">${most(d.dead, d.countedTo)}<//>` : 0}</td>` : html`<td colspan="6" class="quiet">…</td>`}</tr>`
        })}</tbody></table></div>
        <p class="actions">${cursors.length > 1 && html`<button type="button" onClick=${() => move(cursors.slice(0, -1))}>Previous</button>`}
          ${list.next && html`<button type="button" onClick=${() => move([...cursors, list.next])}>Next</button>`}</p>`
    }}<//>`
}

const most = (n, counted) => (n >= counted ? format.count(n) + '+' : format.count(n))

function State({ s }) {
  if (s.disabled) return html`<${Badge} value="disabled" title=${s.disabled} />`
  if (s.inactive) return html`<${Badge} value="inactive" title=${s.inactive} />`
  if (s.paused) return html`<${Badge} value="paused" />`
  return html`<${Badge} value="up">active<//>`
}

const where = (d) => d.url || d.path || d.topic || d.subject || ''
const Target = ({ d }) => html`<${Badge} value=${d.type} /> <span class="target">${where(d)}</span>`

export function Subscription({ id }) {
  const sub = useLoad('/subscriptions' + idPath(id))
  const sending = useLoad('/destinations' + idPath(id))
  const dead = useLoad('/deliveries' + query({ subscription: id, state: 'dead', limit: 20 }))
  const [editing, edit] = useState(false)
  const act = useAction()
  const reload = () => { sub.reload(); sending.reload(); dead.reload() }
  useEvery(3000, () => { if (!editing) reload() })
  const run = (what) => act.run(async () => { const r = await api.post('/subscriptions' + idPath(id) + '/' + what); reload(); return what === 'test' ? r : undefined })
  const remove = () => act.run(async () => { await api.del('/subscriptions' + idPath(id)); location.hash = '#/subscriptions' })
  return html`<p><a href="#/subscriptions">Subscriptions</a></p><${Loading} of=${sub}>${(s) => html`
    <div class="title"><h1>${s.id}</h1><${State} s=${s} /></div>
    <p class="actions"><button type="button" disabled=${act.busy} onClick=${() => run('test')} title="Sends a test event to the destination, once.">Send a test</button>
      ${s.paused ? html`<button type="button" onClick=${() => run('resume')} disabled=${act.busy || s.origin === 'config'}>Resume</button>` : html`<button type="button" onClick=${() => run('pause')} disabled=${act.busy || s.origin === 'config'}>Pause</button>`}
      ${s.disabled && html`<button type="button" class="primary" onClick=${() => run('enable')} disabled=${act.busy}>Enable</button>`}
      ${s.origin === 'api' && html`<button type="button" onClick=${() => edit(!editing)} aria-expanded=${editing ? 'true' : 'false'}>Edit</button>
        <${Confirm} label="Delete" question=${`Delete ${s.id}?`} tone="danger" onYes=${remove} disabled=${act.busy} />`}
      ${s.origin === 'config' && html`<span class="quiet">Defined in <code>config.yaml</code>: change it there, and it is taken over as you save.</span>`}</p>
    <${Failure} error=${act.error} />
    ${s.disabled && html`<div class="notice bad">Disabled: ${s.disabled}</div>`}${s.inactive && html`<div class="notice warn">Inactive: ${s.inactive}</div>`}
    ${act.result && act.result.attempt && html`<div class="notice ${act.result.attempt.class === 'ok' || (act.result.attempt.status >= 200 && act.result.attempt.status < 300) ? 'good' : 'bad'}" role="status">
      <p>Test event <code>${act.result.eventId}</code>: ${act.result.attempt.status ? html`answered <${Status} code=${act.result.attempt.status} />` : act.result.attempt.class} in ${format.span(act.result.attempt.tookMs)}${act.result.attempt.error && ': ' + act.result.attempt.error}</p>
      ${act.result.attempt.response && html`<${Code} text=${act.result.attempt.response} label="response" />`}</div>`}
    ${editing && html`<${Form} from=${s} onDone=${() => { edit(false); reload() }} />`}
    <dl class="fields"><dt>Integration</dt><dd>${s.workspace}/${s.integration}${s.webhook && '/' + s.webhook}</dd>
      ${s.event && html`<dt>Event</dt><dd><code>${s.event}</code> ${s.parameters !== undefined && html`<code>${JSON.stringify(s.parameters)}</code>`}</dd>`}
      <dt>Selector</dt><dd><code>${s.selector}</code></dd>${s.filter !== undefined && html`<dt>Filter</dt><dd><${Code} text=${JSON.stringify(s.filter, null, 2)} label="filter" /></dd>`}
      <dt>Destination</dt><dd><${Target} d=${s.destination} /></dd>${s.ordered && html`<dt>Order</dt><dd>one at a time for each selector, as they arrived</dd>`}
      <dt>Retries</dt><dd>${s.destination.delays.slice(0, 12).map(format.duration).join(', ')}${s.destination.delays.length > 12 && ', …'}; each within ${format.duration(s.destination.timeout)}</dd></dl>
    <${Loading} of=${sending}>${(d) => html`<dl class="tiles">
      <${Tile} name="Success, last hour" value=${d.successRate === undefined ? '–' : format.percent(d.successRate)} note="${d.failed} of ${format.count(d.attempts)} failed" />
      <${Tile} name="Took, p50" value=${d.took.count ? format.span(d.took.p50) : '–'} note=${d.took.count ? 'p99 ' + format.span(d.took.p99) : ''} />
      <${Tile} name="Breaker" value=${d.delivering.breaker} note=${d.delivering.lastError || ''} tone=${d.delivering.breaker === 'open' ? 'bad' : ''} />
      <${Tile} name="Under way" value=${d.delivering.inFlight} note=${d.delivering.waiting || ''} />
      <${Tile} name="Backlog" value=${most(d.backlog, d.countedTo)} note=${d.delivering.nextDue ? 'next ' + format.when(d.delivering.nextDue) : ''} />
      <${Tile} name="Dead" value=${most(d.dead, d.countedTo)} tone=${d.dead ? 'bad' : ''} /></dl><${Spark} traffic=${d.traffic} label="attempts" />`}<//>
    <${Dead} id=${id} load=${dead} reload=${reload} />`}<//>`
}

function Dead({ id, load, reload }) {
  const act = useAction()
  const all = () => act.run(async () => {
    // The API replays up to a million in one call and says how many.
    const result = await api.post('/replay', { subscription: id, state: 'dead' })
    reload()
    return result
  })
  return html`<div class="title"><h2>Dead deliveries</h2>${load.data && load.data.items.length > 0 && html`<${Confirm} label="Replay all" tone="primary" question="Deliver all dead ones of this subscription again?" onYes=${all} disabled=${act.busy} />`}</div>
    ${act.busy && html`<p class="quiet" role="status">Replaying…</p>`}<${Failure} error=${act.error} />
    ${act.result && html`<div class="notice good" role="status">${act.result.count} deliver${act.result.count === 1 ? 'y is' : 'ies are'} under way again.</div>`}
    <${Loading} of=${load}>${(p) => (p.items.length === 0 ? html`<p class="quiet">None.</p>` : html`<div class="scroll"><table><thead><tr><th>Received</th><th>Event</th><th class="number">Attempts</th><th>Request</th><th></th></tr></thead><tbody>${p.items.map((d) => html`<${DeadRow} key=${d.id} d=${d} reload=${reload} />`)}</tbody></table></div>
      ${p.next && html`<p class="quiet">These are the newest; there are more.</p>`}`)}<//>`
}

function DeadRow({ d, reload }) {
  const [open, toggle] = useState(false)
  return html`<tr><td><${Time} at=${d.receivedAt} /></td><td><code>${d.selector}</code></td><td class="number">${d.attempts}</td><td><a href=${link('requests', d.requestId)}>${d.requestId}</a></td>
    <td><button type="button" class="small" aria-expanded=${open ? 'true' : 'false'} onClick=${() => toggle(!open)}>${open ? 'Hide' : 'Attempts'}</button></td></tr>
    ${open && html`<tr><td colspan="5"><${Attempts} id=${d.id} reload=${reload} /></td></tr>`}`
}

function Attempts({ id, reload }) {
  const load = useLoad('/deliveries/' + encodeURIComponent(id))
  return html`<${Loading} of=${load}>${(d) => html`<${Delivery} d=${d} reload=${() => { load.reload(); reload() }} />`}<//>`
}

export function NewSubscription() {
  return html`<p><a href="#/subscriptions">Subscriptions</a></p><h1>New subscription</h1><p class="quiet">It is kept in the data folder. Those that should be reviewed and versioned belong in <code>config.yaml</code>.</p>
    <${Form} onDone=${(s) => { location.hash = link('subscriptions', s.workspace, s.name) }} />`
}

const kinds = {
  http: [['url', 'URL', 'https://example.com/hooks']],
  stdout: [],
  file: [['path', 'File', '/var/log/events.ndjson']],
  nats: [['url', 'Server', 'nats://127.0.0.1:4222'], ['subject', 'Subject', 'events']],
  kafka: [['brokers', 'Brokers, with commas between', '127.0.0.1:9092'], ['topic', 'Topic', 'events']],
}

// Form creates a subscription, or edits one: then what the API does not show, such as secrets, stays as it is.
function Form({ from, onDone }) {
  const form = useRef(null)
  const [type, setType] = useState(from ? from.destination.type : 'http')
  const [by, setBy] = useState(from && from.event ? 'event' : 'selector')
  const connectors = useLoad('/connectors')
  const [use, setUse] = useState(from ? `${from.workspace}/${from.integration}` : '')
  const act = useAction()
  const [mistake, wrong] = useState(null)
  const uses = (connectors.data ? connectors.data.items : []).flatMap((c) => c.integrations.map((i) => ({ id: `${i.workspace}/${i.name}`, connector: c })))
  const chosen = uses.find((u) => u.id === use) || uses[0]
  useEffect(() => { if (!use && uses.length) setUse(uses[0].id) }, [uses.length])
  const save = (e) => {
    e.preventDefault()
    const f = Object.fromEntries(new FormData(form.current))
    const [workspace, integration] = splitID(f.use)
    const parsed = {}
    for (const name of ['filter', 'parameters']) {
      if (!f[name] || !f[name].trim()) continue
      try { parsed[name] = JSON.parse(f[name]) } catch (problem) { wrong({ message: `${name}: ${problem.message}` }); return }
    }
    wrong(null)
    const destination = { type: f.type }
    for (const [name] of kinds[f.type]) if (f[name]) destination[name] = name === 'brokers' ? f[name].split(',').map((b) => b.trim()) : f[name].trim()
    if (f.secret) destination.secret = f.secret
    if (f.type === 'http' && f.allow) destination.allow = f.allow.split(',').map((b) => b.trim())
    if (f.delays) destination.retry = { delays: f.delays.split(',').map((b) => b.trim()) }
    if (f.timeout) destination.retry = { ...destination.retry, timeout: f.timeout.trim() }
    if (f.concurrency) destination.concurrency = Number(f.concurrency)
    const body = { workspace, name: from ? from.name : f.name.trim(), integration, ...parsed, destination }
    if (f.webhook) body.webhook = f.webhook
    if (by === 'event') { body.event = f.event; delete body.webhook } else body.selector = f.selector
    if (f.ordered) body.ordered = true
    if (from && from.paused) body.paused = true
    // What the form has no field for stays as it is.
    if (from && f.type === from.destination.type) {
      if (from.destination.headers) destination.headers = Object.fromEntries(from.destination.headers.map((h) => [h.name, h.value]))
      if (from.destination.cloudEvents) destination.cloudEvents = from.destination.cloudEvents
      if (from.destination.rate) destination.rate = from.destination.rate
    }
    act.run(async () => {
      const s = from ? await api.put('/subscriptions' + idPath(from.id) + '?keepSecrets=true', body) : await api.post('/subscriptions', body)
      onDone(s)
    })
  }
  if (!connectors.data) return html`<${Loading} of=${connectors} />`
  if (uses.length === 0) return html`<${Empty} title="There is nothing to subscribe to."><p>Put a connector to use first: an integration in <code>config.yaml</code>.</p><//>`
  const d = from ? from.destination : {}
  return html`<form class="edit" ref=${form} onSubmit=${save}>
    ${!from && html`<label>Name <input name="name" required pattern="[A-Za-z0-9][A-Za-z0-9._\\-]*" autocomplete="off" /></label>`}
    <label>Integration <select name="use" value=${use} onChange=${(e) => setUse(e.currentTarget.value)}>${uses.map((u) => html`<option value=${u.id}>${u.id} (${u.connector.key})</option>`)}</select></label>
    <fieldset><legend>Which events</legend>
      <label class="choice"><input type="radio" name="by" checked=${by === 'selector'} onChange=${() => setBy('selector')} /> by selector</label>
      ${chosen && chosen.connector.events.length > 0 && html`<label class="choice"><input type="radio" name="by" checked=${by === 'event'} onChange=${() => setBy('event')} /> by event of the connector</label>`}
      ${by === 'selector' ? html`
        ${chosen && chosen.connector.webhooks.length > 1 && html`<label>Webhook <select name="webhook">${chosen.connector.webhooks.map((w) => html`<option selected=${from && from.webhook === w.key}>${w.key}</option>`)}</select></label>`}
        <label>Selector <input name="selector" required defaultValue=${from ? from.selector : '**'} /><small>Exact, or with <code>*</code> within a segment and <code>**</code> across segments.</small></label>`
        : html`<label>Event <select name="event">${chosen && chosen.connector.events.map((e) => html`<option value=${e.key} selected=${from && from.event === e.key}>${e.key}: ${e.name}</option>`)}</select></label>
        <label>Parameters, JSON <textarea name="parameters" rows="3" spellcheck="false">${from && from.parameters ? JSON.stringify(from.parameters) : ''}</textarea></label>`}
      <label>Filter, JSON <textarea name="filter" rows="3" spellcheck="false" placeholder='{"ref": "refs/heads/main"}'>${from && from.filter !== undefined ? JSON.stringify(from.filter, null, 2) : ''}</textarea><small>Empty: all of them.</small></label>
    </fieldset>
    <fieldset><legend>Where to</legend>
      <label>Type <select name="type" value=${type} onChange=${(e) => setType(e.currentTarget.value)}>${Object.keys(kinds).map((k) => html`<option value=${k}>${k}</option>`)}</select></label>
      ${kinds[type].map(([name, label, example]) => html`<label>${label} <input name=${name} required placeholder=${example} defaultValue=${from && d.type === type ? (name === 'brokers' ? (d.brokers || []).join(', ') : d[name] || '') : ''} /></label>`)}
      ${type === 'http' && html`<label>Signing secret <input name="secret" type="password" autocomplete="off" placeholder=${d.secrets ? 'kept as it is' : 'whsec_…'} /><small>Standard Webhooks. Empty: ${d.secrets ? 'the one that is there stays' : 'not signed'}.</small></label>
        <label>Allowed private networks <input name="allow" placeholder="127.0.0.0/8" defaultValue=${(d.allow || []).join(', ')} /><small>Private addresses are refused unless they are listed here.</small></label>`}
      <details open=${!!from}><summary>Retries and pace</summary>
        <label>Delays <input name="delays" placeholder="0s, 5s, 5m, 30m, 2h" defaultValue=${from ? d.delays.map(format.duration).join(', ') : ''} /></label>
        <label>Timeout of an attempt <input name="timeout" placeholder="15s" defaultValue=${from ? d.timeout : ''} /></label>
        <label>At the same time <input name="concurrency" type="number" min="1" max="1000" defaultValue=${from ? d.concurrency : ''} /></label></details>
      <label class="choice"><input type="checkbox" name="ordered" defaultChecked=${from ? from.ordered : false} /> in order: one at a time for each selector</label>
    </fieldset>
    <${Failure} error=${mistake} /><${Failure} error=${act.error} />
    <p class="actions"><button class="primary" disabled=${act.busy}>${from ? 'Save' : 'Create'}</button></p></form>`
}
