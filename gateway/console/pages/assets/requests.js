// The list of requests: what is stored, in pages, and on top what comes in now.
import { html, useState, useEffect, useRef, useCallback } from './vendor/preact-htm.js'
import { api, query, stream } from './api.js'
import { Badge, Empty, Failure, Status, Time, link } from './widgets.js'
import * as format from './format.js'

const outcomes = ['accepted', 'failed', 'refused', 'deferred', 'handshake']
const turned = ['unverified', 'bad-body', 'unavailable']
// Under a flood only the newest are kept, and the list is drawn anew a few times a second.
const keep = 300
const pace = 250

const filtersOf = (fields) => {
  const { workspace, integration, webhook, connector, outcome, status, text, after, before } = fields
  return { workspace, integration, webhook, connector, outcome, status, text, after, before }
}

export function Requests({ fields }) {
  const filters = filtersOf(fields)
  const key = query(filters)
  const [rows, setRows] = useState(null)
  const [next, setNext] = useState('')
  const [error, fail] = useState(null)
  const [held, setHeld] = useState(0)
  const [state, setState] = useState({ name: 'connecting' })
  const [rate, setRate] = useState(null)
  const [selected, select] = useState(-1)
  const [paused, pause] = useState(false)
  const incoming = useRef([])
  const still = useRef(false)
  still.current = paused || selected > 0 || scrollY > 80
  const live = !filters.before

  const take = useCallback(() => {
    const fresh = incoming.current
    incoming.current = []
    setHeld(0)
    if (fresh.length) setRows((old) => merge(fresh, old || []))
  }, [])

  useEffect(() => {
    const stop = new AbortController()
    setRows(null); fail(null); select(-1); incoming.current = []; setHeld(0)
    // What was turned away is not stored; the last of it is in memory.
    if (turned.includes(filters.outcome)) {
      const { workspace, integration, webhook, connector, outcome } = filters
      api.get('/turned' + query({ workspace, integration, webhook, connector, kind: outcome }), stop.signal)
        .then((page) => { setRows((now) => merge(now || [], page.items.map(away))); setNext('') }, (e) => { if (e.name !== 'AbortError') { setRows([]); fail(e) } })
    } else api.get('/requests' + query({ ...filters, limit: 50 }), stop.signal).then((page) => { setRows((now) => merge(now || [], page.items)); setNext(page.next) }, (e) => { if (e.name !== 'AbortError') { setRows([]); fail(e) } })
    let close = () => {}, timer, seen = 0, since = performance.now()
    if (live) {
      const { after, ...narrow } = filters
      close = stream({ ...narrow, kinds: 'request,turned' }, (batch) => {
        const fresh = []
        for (const m of batch) {
          if (m.kind === 'dropped') seen += m.data.count
          else if (m.kind === 'request') { seen++; fresh.push(m.data) }
          else if (m.kind === 'turned') { seen++; fresh.push(away(m.data)) }
        }
        incoming.current = fresh.reverse().concat(incoming.current).slice(0, keep)
      }, (name, why) => setState({ name, why }))
      timer = setInterval(() => {
        const now = performance.now()
        if (now - since > 1000) { setRate((seen * 1000) / (now - since)); seen = 0; since = now }
        if (!incoming.current.length) return
        if (still.current) setHeld(incoming.current.length)
        else take()
      }, pace)
    }
    return () => { stop.abort(); close(); clearInterval(timer) }
  }, [key])

  const more = () => api.get('/requests' + query({ ...filters, cursor: next, limit: 50 })).then((page) => {
    setRows((old) => old.concat(page.items))
    setNext(page.next)
  }, fail)

  const body = useRef(null)
  const now = useRef(null)
  now.current = { list: rows || [], selected }
  useEffect(() => {
    const onKey = (e) => {
      if (/^(input|textarea|select)$/i.test(e.target.tagName) || e.ctrlKey || e.metaKey || e.altKey) return
      const { list, selected } = now.current
      if (e.key === 'j' || (e.key === 'ArrowDown' && selected >= 0)) { e.preventDefault(); select(Math.min(selected + 1, list.length - 1)) }
      else if (e.key === 'k' || (e.key === 'ArrowUp' && selected >= 0)) { e.preventDefault(); select(Math.max(selected - 1, -1)) }
      else if (e.key === 'Enter' && !/^(button|a|summary)$/i.test(e.target.tagName) && list[selected] && !list[selected].turned) location.hash = link('requests', list[selected].id)
      else if (e.key === 'Escape') select(-1)
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [])
  useEffect(() => {
    const row = body.current && body.current.children[selected]
    if (row) row.scrollIntoView({ block: 'nearest' })
  }, [selected])

  return html`<div class="title"><h1>Requests</h1>
      <span class="live" role="status">${live ? html`<span class="dot ${state.name === 'live' && !paused ? 'on' : ''}" />${state.name === 'lost' ? 'not live: ' + state.why : paused ? 'paused' : state.name === 'live' ? `live${rate ? ', ' + format.count(Math.round(rate * 10) / 10) + '/s' : ''}` : 'connecting'}` : 'of the past'}</span>
      ${live && html`<button type="button" class="small" aria-pressed=${paused ? 'true' : 'false'} onClick=${() => { if (paused) take(); pause(!paused) }}>${paused ? 'Go on' : 'Pause'}</button>`}</div>
    <${Filters} filters=${filters} />
    <${Failure} error=${error} />
    ${held > 0 && html`<button type="button" class="fresh" onClick=${() => { select(-1); scrollTo(0, 0); take() }}>${held >= keep ? `${keep} or more` : held} new, show</button>`}
    ${rows === null ? html`<p class="quiet" role="status">Loading…</p>` : rows.length === 0 ? html`<${Empty} title=${key ? 'No request is like that.' : 'No requests yet.'}>
      ${key ? html`<p><a href="#/requests">Show all</a></p>` : html`<p>Give a provider one of the URLs under <a href="#/connectors">Connectors</a>. What it sends appears here as it comes.</p>`}<//>`
      : html`<div class="scroll"><table class="requests">
        <thead><tr><th>Time</th><th>Outcome</th><th>Status</th><th>Webhook</th><th class="wide">Request</th><th class="number wide">Size</th><th class="number">Events</th><th class="number">Deliveries</th><th class="number wide">Handler</th></tr></thead>
        <tbody ref=${body}>${rows.map((r, i) => html`<${Row} key=${r.id} r=${r} selected=${i === selected} />`)}</tbody></table></div>`}
    ${next && html`<p><button type="button" onClick=${more}>Older</button></p>`}`
}

function Row({ r, selected }) {
  const open = (e) => { if (!r.turned && !e.target.closest('a')) location.hash = link('requests', r.id) }
  return html`<tr class=${(selected ? 'selected ' : '') + (r.turned ? '' : 'opens')} aria-selected=${selected ? 'true' : undefined} onClick=${open}>
    <td>${r.turned ? html`<${Time} at=${r.receivedAt} />` : html`<a href=${link('requests', r.id)} aria-label=${'request ' + r.id}><${Time} at=${r.receivedAt} /></a>`}</td>
    <td><${Badge} value=${r.outcome} title=${r.reason} /></td><td><${Status} code=${r.status} /></td>
    <td>${r.workspace}/${r.integration}/${r.webhook}</td>
    <td class="wide path">${r.turned ? html`<span class="quiet">${r.reason}</span>` : html`${r.method} <span class="quiet">${r.id}</span>`}</td>
    <td class="number wide">${format.size(r.bodySize)}</td>
    <td class="number">${r.turned ? '' : r.events}</td>
    <td class="number">${r.turned ? '' : r.deliveries}${r.dead > 0 && html` <${Badge} value="dead">${r.dead} dead<//>`}</td>
    <td class="number wide">${r.turned ? '' : format.span(r.handlerMs)}</td></tr>`
}

// A request that was turned away, as a row.
const away = (t) => ({ ...t, outcome: t.kind, turned: true })

/** merge puts new rows before old ones, each request once. */
function merge(fresh, old) {
  const seen = new Set(fresh.map((r) => r.id))
  return fresh.concat(old.filter((r) => !seen.has(r.id))).slice(0, Math.max(keep, old.length))
}

function Filters({ filters }) {
  const form = useRef(null)
  const apply = (e) => {
    if (e) e.preventDefault()
    const f = Object.fromEntries(new FormData(form.current))
    for (const name of ['after', 'before']) if (f[name]) f[name] = new Date(f[name]).toISOString()
    const [workspace, integration, webhook] = f.hook.split('/').map((s) => s.trim())
    const { hook, ...rest } = f
    location.hash = '#/requests' + query({ ...rest, workspace, integration, webhook, connector: filters.connector })
  }
  const local = (iso) => {
    if (!iso) return ''
    const t = new Date(iso)
    return new Date(t - t.getTimezoneOffset() * 60000).toISOString().slice(0, 19)
  }
  const [hooks, setHooks] = useState([])
  useEffect(() => {
    api.get('/connectors').then((page) => setHooks(page.items.flatMap((c) => c.webhooks.flatMap((w) => w.urls.map((u) => `${u.workspace}/${u.integration}/${w.key}`))).sort()), () => {})
  }, [])
  const hook = [filters.workspace, filters.integration, filters.webhook].join('/').replace(/\/+$/, '')
  const any = Object.values(filters).some(Boolean)
  return html`<form class="filters" ref=${form} onSubmit=${apply} key=${query(filters)} role="search">
    <label>Text <input type="search" name="text" defaultValue=${filters.text || ''} placeholder="in body, id, selector" /></label>
    <label>Webhook <input name="hook" list="hooks" defaultValue=${hook} placeholder="workspace/integration/webhook" onChange=${apply} /></label>
    <datalist id="hooks">${hooks.map((h) => html`<option value=${h} />`)}</datalist>
    <label>Outcome <select name="outcome" onChange=${apply}><option value="">any</option>
      ${outcomes.map((o) => html`<option selected=${filters.outcome === o}>${o}</option>`)}
      <optgroup label="turned away: the last ones">${turned.map((o) => html`<option selected=${filters.outcome === o}>${o}</option>`)}</optgroup></select></label>
    <label>Status <input name="status" class="short" defaultValue=${filters.status || ''} placeholder="5xx" pattern="[1-5]([0-9][0-9]|xx)" /></label>
    <label>From <input type="datetime-local" step="1" name="after" defaultValue=${local(filters.after)} onChange=${apply} /></label>
    <label>To <input type="datetime-local" step="1" name="before" defaultValue=${local(filters.before)} onChange=${apply} /></label>
    <button>Search</button>${any && html`<a href="#/requests">Clear</a>`}
    ${filters.connector && html`<span>of connector <code>${filters.connector}</code></span>`}</form>`
}
