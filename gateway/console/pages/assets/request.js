// One request: everything that became of it, in the order in which it happened.
import { html, useState, useEffect } from './vendor/preact-htm.js'
import { api, path, query, splitID, stream } from './api.js'
import { Badge, Code, Confirm, Copy, Failure, Loading, Status, Tabs, Time, link, useAction, useLoad } from './widgets.js'
import * as format from './format.js'

export function Request({ id }) {
  const load = useLoad(path('requests', id))
  // What happens to it meanwhile is loaded, but not for every one of many attempts.
  useEffect(() => {
    let timer
    const close = stream({ kinds: 'attempt' }, (batch) => {
      if (!timer && batch.some((m) => m.data.requestId === id)) timer = setTimeout(() => { timer = 0; load.reload() }, 200)
    }, () => {})
    return () => { close(); clearTimeout(timer) }
  }, [id])
  return html`<p><a href="#/requests">Requests</a></p><${Loading} of=${load}>${(r) => html`<${Timeline} r=${r} reload=${load.reload} />`}<//>`
}

function Timeline({ r, reload }) {
  const again = useAction()
  const run = (fields) => again.run(async () => {
    const result = await api.post(path('requests', r.id, 'replay') + query(fields))
    if (!result.dryRun) reload()
    return result
  })
  const save = (blob, name) => {
    const url = URL.createObjectURL(blob)
    const a = document.createElement('a')
    a.href = url
    a.download = name
    a.click()
    URL.revokeObjectURL(url)
  }
  const download = () => again.run(async () => save(await api.blob(path('requests', r.id, 'body')), r.id + '.body'))
  const fixture = () => again.run(async () => {
    const made = await api.get(path('requests', r.id, 'fixture'))
    save(new Blob([made.yaml], { type: 'application/yaml' }), `${made.connector}-${r.id}.yml`)
  })
  const fresh = r.outcome === 'failed' || r.outcome === 'deferred'
  return html`<div class="title"><h1><code>${r.id}</code></h1><${Badge} value=${r.outcome} /><${Status} code=${r.response.status} /><${Copy} text=${r.id} label="Copy id" /></div>
    <p class="actions">
      <button type="button" disabled=${again.busy} onClick=${() => run({ dryRun: true })} title="What today's handler makes of it. Nothing is stored or delivered.">Dry run</button>
      <${Confirm} label="Replay" tone=${fresh ? 'primary' : ''} disabled=${again.busy} onYes=${() => run({ force: !fresh })}
        question=${fresh ? 'Run the handler again and deliver its events?' : 'Its events were delivered already. Run the handler and deliver again?'} />
      <${Copy} text=${() => format.curl(r)} label="Copy as curl" />
      <button type="button" onClick=${download}>Save body</button>
      <button type="button" disabled=${again.busy} onClick=${fixture} title=${`A case for the connector's fixtures folder, without secrets; 'switchhook record ${r.id}' makes the same.`}>Save as fixture</button>
    </p>
    <${Failure} error=${again.error} />
    ${again.result && html`<${Rerun} result=${again.result} onClose=${again.clear} />`}
    <ol class="timeline">
      <li><h2>Received</h2><p><${Time} at=${r.receivedAt} /> from ${r.remoteAddr} for <a href=${'#/requests' + query({ workspace: r.workspace, integration: r.integration, webhook: r.webhook })}>${r.workspace}/${r.integration}/${r.webhook}</a> of <a href=${link('connectors', r.connector)}>${r.connector}</a></p>
        <p><code>${r.method} ${r.url}</code></p><${Content} r=${r} /></li>
      <li class=${r.verified === 'none' ? '' : 'good'}><h2>${r.verified === 'none' ? 'Not verified' : 'Verified'}</h2><p>${r.verified === 'none' ? 'Its webhook says verify: none, or says nothing.' : html`by <code>${r.verified}</code>`}</p></li>
      <${Handler} r=${r} />
      ${r.events.length === 0 ? r.outcome === 'accepted' && html`<li><h2>No events</h2><p class="quiet">The handler returned none.</p></li>`
        : html`<li><h2>${r.events.length} event${r.events.length > 1 ? 's' : ''}</h2>${r.events.map((e) => html`<${Event} key=${e.id} e=${e} r=${r} reload=${reload} />`)}</li>`}
      <li><h2>Answered <${Status} code=${r.response.status} /></h2>${(r.response.headers.length > 0 || r.response.text) && html`<details><summary>Response</summary>
        <${Headers} list=${r.response.headers} />${r.response.text && html`<${Code} text=${format.json(r.response.text) || r.response.text} label="body of the response" />`}</details>`}</li>
    </ol>`
}

function Handler({ r }) {
  const f = r.failure
  return html`<li class=${f ? 'bad' : 'good'}><h2>Handler</h2>
    <p>${f ? f.kind === 'refused' ? 'refused it' : 'failed' : 'returned'} after ${format.span(r.handlerMs)}${f && f.id && html`, error id <code>${f.id}</code>`}</p>
    ${f && html`<div class="finding bad"><p><strong>${f.kind}</strong> ${f.path && html`<code>${f.path}</code> `}${f.message}${f.stack && f.stack.length > 0 && html` at <code>${f.stack[0].file}:${f.stack[0].line}:${f.stack[0].column}</code>`}</p>
      ${f.codeFrame && html`<${Code} text=${f.codeFrame} label="where it failed" />`}
      ${f.stack && f.stack.length > 0 && html`<details><summary>Call stack</summary><${Code} text=${f.stack.map(frame).join('\n')} label="call stack" /></details>`}</div>`}
    ${r.notes.map((n) => html`<p class="notice">${n}</p>`)}
    <${Console} lines=${r.console} /></li>`
}

const frame = (f) => `${f.function || '(top)'} ${f.file}:${f.line}:${f.column}`

const Console = ({ lines }) => lines.length > 0 && html`<pre class="console" tabindex="0" aria-label="console of the handler">${lines.map((l) => html`<span class=${l.level}>${l.level.padEnd(5)} ${l.text}${'\n'}</span>`)}</pre>`

function Content({ r }) {
  const bytes = format.bytesOf(r.body)
  const pretty = r.text !== undefined && r.text.length < 1e6 ? format.json(r.text) : null
  const panes = []
  if (pretty !== null) panes.push({ name: 'Pretty', view: () => html`<${Code} text=${pretty} label="body, indented" />` })
  if (r.text !== undefined) panes.push({ name: 'Raw', view: () => html`<${Code} text=${r.text} label="body" />` })
  panes.push({ name: 'Hex', view: () => html`<${Code} text=${format.hex(bytes.slice(0, 65536)) + (bytes.length > 65536 ? `… ${bytes.length - 65536} bytes more` : '')} label="body, in hex" />` })
  if (bytes.length === 0) panes.length = 0
  panes.push({ name: `Headers (${r.headers.length})`, view: () => html`<${Headers} list=${r.headers} />` })
  if (r.query) panes.push({ name: 'Query', view: () => html`<${Headers} list=${[...new URLSearchParams(r.query)].map(([name, value]) => ({ name, value }))} />` })
  return html`<details open=${bytes.length < 3000}><summary>${bytes.length === 0 ? 'No body' : 'Body of ' + format.size(bytes.length)}, ${r.headers.length} header fields</summary><${Tabs} label="content" panes=${panes} /></details>`
}

const Headers = ({ list }) => html`<table class="plain"><tbody>${list.map((h) => html`<tr><th scope="row">${h.name}</th><td>${h.value}</td></tr>`)}</tbody></table>`

function Event({ e, r, reload }) {
  const mine = r.deliveries.filter((d) => d.eventId === e.id)
  const [why, ask] = useState(false)
  return html`<section class="event"><h3><code>${e.selector}</code> ${e.type && html`<${Badge} value=${e.type} />`} ${e.duplicate && html`<${Badge} value="refused">duplicate<//>`}</h3>
    <p class="quiet"><code>${e.id}</code>${e.key && html`, id of the provider <code>${e.key}</code>`}${e.duplicate && ': it came before within the dedupe window, and is not delivered again'}</p>
    ${e.payload !== undefined && html`<details><summary>Payload</summary><${Code} text=${JSON.stringify(e.payload, null, 2)} label="payload" /></details>`}
    ${mine.map((d) => html`<${Delivery} key=${d.id} d=${d} reload=${reload} />`)}
    ${mine.length === 0 && !e.duplicate && html`<p>No subscription matched it.</p>`}
    <button type="button" class="small" aria-expanded=${why ? 'true' : 'false'} onClick=${() => ask(!why)}>${why ? 'Hide the others' : mine.length ? 'Why not the others?' : 'Why not?'}</button>
    ${why && html`<${Explained} r=${r} e=${e} />`}</section>`
}

function Explained({ r, e }) {
  const load = useLoad(path('requests', r.id, 'explain') + query({ event: e.id, limit: 200 }))
  return html`<${Loading} of=${load}>${(x) => {
    const others = x.events.flatMap((v) => v.subscriptions).filter((s) => !s.delivery)
    if (others.length === 0) return html`<p class="quiet">There are no other subscriptions in this workspace.</p>`
    return html`<table class="plain explained"><thead><tr><th>Subscription</th><th>Why it did not get this event</th></tr></thead>
      <tbody>${others.map((s) => html`<tr><td><a href=${link('subscriptions', ...splitID(s.subscription))}>${s.subscription}</a></td><td>${s.reason}${s.paused && ' (paused)'}</td></tr>`)}</tbody></table>
      ${x.next && html`<p class="quiet">There are more; <code>switchhook explain ${r.id} SUBSCRIPTION</code> explains any one.</p>`}`
  }}<//>`
}

export function Delivery({ d, reload }) {
  const act = useAction()
  const replay = () => act.run(async () => { await api.post(path('deliveries', d.id, 'replay')); reload() })
  const history = d.history || []
  return html`<div class="delivery"><p><${Badge} value=${d.state} /> to <a href=${link('subscriptions', ...splitID(d.subscription))}>${d.subscription}</a>
      ${d.attempts === 0 ? ', not tried yet' : `, ${d.attempts} attempt${d.attempts > 1 ? 's' : ''}`}${d.dueAt && d.attempts > 0 && html`, next ${new Date(d.dueAt) > new Date() ? 'at' : 'due since'} <${Time} at=${d.dueAt} />`}
      ${(d.state === 'dead' || d.state === 'done') && html` <${Confirm} label="Deliver again" question=${`Deliver again to ${d.subscription}?`} onYes=${replay} disabled=${act.busy} />`}</p>
    <${Failure} error=${act.error} />
    ${history.length > 0 && html`<table class="plain"><thead><tr><th>#</th><th>At</th><th>Status</th><th>Took</th><th>Outcome</th></tr></thead><tbody>${history.map((a) => html`<tr>
      <td>${a.number}</td><td><${Time} at=${a.at} /></td><td>${a.status ? html`<${Status} code=${a.status} />` : '–'}</td><td>${format.span(a.tookMs)}</td>
      <td>${a.class}${a.error && html`: ${a.error}`}${a.response && html`<details><summary>Response</summary><${Code} text=${a.response} label="response of the receiver" /></details>`}</td></tr>`)}</tbody></table>`}</div>`
}

function Rerun({ result, onClose }) {
  const same = result.diff.every((d) => d.kind === 'same')
  return html`<section class="rerun" role="status" aria-label="result of the run"><div class="title"><h2>${result.dryRun ? 'Dry run' : 'Replayed'}</h2><${Badge} value=${result.outcome} /><button type="button" class="small" onClick=${onClose}>Close</button></div>
    <p>${result.dryRun ? `Today's handler ${result.failure ? 'fails' : `emits ${result.events.length} event${result.events.length === 1 ? '' : 's'}, for ${result.deliveries} deliver${result.deliveries === 1 ? 'y' : 'ies'}`}. Nothing was stored.` : `${result.deliveries} deliver${result.deliveries === 1 ? 'y was' : 'ies were'} made.`}
      ${!result.failure && same && result.diff.length > 0 && ' The events are the same as those stored.'}</p>
    ${result.failure && html`<div class="finding bad"><p><strong>${result.failure.kind}</strong> ${result.failure.message}</p>${result.failure.codeFrame && html`<${Code} text=${result.failure.codeFrame} label="where it failed" />`}</div>`}
    <${Console} lines=${result.console} />
    ${result.diff.filter((d) => d.kind !== 'same').map((d) => html`<div class="change ${d.kind}"><p><${Badge} value=${{ added: 'good', removed: 'failed', changed: 'refused' }[d.kind]}>${d.kind}<//> <code>${(d.after || d.before).selector}</code></p>
      ${d.changes && html`<table class="plain"><thead><tr><th>Place</th><th>Stored</th><th>Now</th></tr></thead><tbody>${d.changes.map((c) => html`<tr><td><code>${c.path}</code></td><td><del>${c.before === undefined ? '' : JSON.stringify(c.before)}</del></td><td><ins>${c.after === undefined ? '' : JSON.stringify(c.after)}</ins></td></tr>`)}</tbody></table>`}
      ${!d.changes && html`<details><summary>Payload</summary><${Code} text=${JSON.stringify((d.after || d.before).payload, null, 2)} label="payload" /></details>`}</div>`)}</section>`
}
