// The gateway as a whole: figures of now, charts of the last hour, and what needs somebody.
import { html } from './vendor/preact-htm.js'
import { token } from './api.js'
import { Chart, Loading, Tile, useEvery, useLoad } from './widgets.js'
import * as format from './format.js'

export function Overview() {
  const load = useLoad('/overview')
  useEvery(2000, load.reload)
  return html`<h1>Overview</h1><${Loading} of=${load}>${(o) => html`<${Figures} o=${o} />`}<//>`
}

function Figures({ o }) {
  const r = o.recent
  const rate = (p, n) => (p.seconds > 0 ? n / p.seconds : 0)
  const bad = r.failed + r.unavailable
  const arrived = r.requests + r.turned
  const states = Object.entries(o.connectors).filter(([state]) => state !== 'up')
  const per = (f) => o.hour.map((p) => rate(p, f(p)))
  const quantile = (f, q) => o.hour.map((p) => (f(p).count > 0 ? f(p)[q] : null))
  const at = o.hour.map((p) => p.at)
  const links = !token.get() // which links cannot carry
  const perSecond = (v) => (v > 0 && v < 10 ? v.toFixed(v < 1 ? 2 : 1) : format.count(Math.round(v))) + '/s'
  return html`
    ${!o.ready && html`<div class="notice bad" role="alert">Requests are not taken: ${o.reason}</div>`}
    ${o.store.error && o.store.error !== o.reason && html`<div class="notice bad" role="alert">The store: ${o.store.error}</div>`}
    ${states.map(([state, n]) => html`<div class="notice ${state === 'stale' ? 'warn' : 'bad'}"><a href="#/connectors">${n} connector${n > 1 ? 's are' : ' is'} ${state}</a></div>`)}
    ${o.store.dead > 0 && html`<div class="notice warn"><a href="#/subscriptions">${format.count(o.store.dead)} dead deliver${o.store.dead > 1 ? 'ies' : 'y'}</a>: all attempts failed. Replay them when the receiver is well again.</div>`}
    <dl class="tiles">
      <${Tile} name="Requests" value=${perSecond(rate(r, arrived))} note="last minute" />
      <${Tile} name="Failed" value=${arrived ? format.percent(bad / arrived) : '–'} note="${bad} of ${format.count(arrived)}" tone=${bad ? 'bad' : ''} />
      <${Tile} name="Answered in, p50" value=${r.ack.count ? format.span(r.ack.p50) : '–'} note=${r.ack.count ? 'p99 ' + format.span(r.ack.p99) : ''} />
      <${Tile} name="Delivered in, p50" value=${r.delivered.count ? format.span(r.delivered.p50) : '–'} note=${r.delivered.count ? 'p99 ' + format.span(r.delivered.p99) : ''} />
      <${Tile} name="Waiting deliveries" value=${format.count(o.store.pending)} note=${o.store.oldestPending ? 'oldest ' + format.ago(o.store.oldestPending, new Date(o.now)) : 'none waits'} />
      <${Tile} name="Dead deliveries" value=${format.count(o.store.dead)} tone=${o.store.dead ? 'bad' : ''} />
      <${Tile} name="Stored" value=${format.count(o.store.requests)} note="${format.count(o.store.events)} events, ${format.size(o.store.bytes)} on disk" />
      <${Tile} name="Turned away" value=${format.count(r.turned)} note="${r.unverified} unverified" tone=${r.unverified ? 'warn' : ''} />
    </dl>
    <div class="charts">
      <${Chart} title="Requests" bars at=${at} unit=${perSecond} series=${[
        { name: 'all', class: 'c1', values: per((p) => p.requests + p.turned) },
        { name: 'failed or turned away', class: 'c2', values: per((p) => p.failed + p.refused + p.turned) }]} />
      <${Chart} title="Time to answer" at=${at} unit=${format.span} series=${[
        { name: 'p50', class: 'c1', values: quantile((p) => p.ack, 'p50') }, { name: 'p99', class: 'c3', values: quantile((p) => p.ack, 'p99') }]} />
      <${Chart} title="Attempts" bars at=${at} unit=${perSecond} series=${[
        { name: 'all', class: 'c1', values: per((p) => p.attempts) }, { name: 'failed', class: 'c2', values: per((p) => p.failedAttempts) }]} />
      <${Chart} title="Time to deliver" at=${at} unit=${format.span} series=${[
        { name: 'p50', class: 'c1', values: quantile((p) => p.delivered, 'p50') }, { name: 'p99', class: 'c3', values: quantile((p) => p.delivered, 'p99') }]} />
    </div>
    <p class="quiet">Switchhook ${o.version}, generation ${o.generation}, started ${format.ago(o.startedAt, new Date(o.now))}. ${o.connectors.up || 0} connector${o.connectors.up === 1 ? '' : 's'} up.${links && html` <a href="/metrics">Metrics</a> <a href="/api/openapi.json">API</a>`}</p>`
}
