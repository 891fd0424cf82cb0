// Connectors: which are up, what is wrong with those that are not, their URLs and how to set them up.
import { html } from './vendor/preact-htm.js'
import { path } from './api.js'
import { Badge, Copy, Empty, Findings, Loading, Spark, Time, link, useEvery, useLoad } from './widgets.js'
import * as format from './format.js'

const worst = { down: 0, quarantined: 1, stale: 2, up: 3 }

export function Connectors() {
  const load = useLoad('/connectors')
  const reloads = useLoad('/reloads')
  useEvery(5000, () => { load.reload(); reloads.reload() })
  return html`<h1>Connectors</h1><${Loading} of=${load}>${(page) => {
    // Those that need somebody come first, then those in use.
    const list = [...page.items].sort((a, b) => worst[a.state] - worst[b.state] || (b.integrations.length > 0) - (a.integrations.length > 0) || a.key.localeCompare(b.key))
    if (list.length === 0) return html`<${Empty} title="There are no connectors."><p><code>switchhook new connector KEY</code> writes one to begin with.</p><//>`
    return html`<div class="scroll"><table>
      <thead><tr><th>Connector</th><th>State</th><th>Integrations</th><th class="wide">Webhooks</th><th>Last hour</th><th class="number">Requests</th><th class="number">Failed</th></tr></thead>
      <tbody>${list.map((c) => html`<tr><td><a href=${link('connectors', c.key)}>${c.name}</a> ${c.name !== c.key && html`<code class="quiet">${c.key}</code>`}</td>
        <td><${Badge} value=${c.state} />${c.problems.length > 0 && html` <span class="quiet">${c.problems.length} finding${c.problems.length > 1 ? 's' : ''}</span>`}</td>
        <td>${c.integrations.map((i) => `${i.workspace}/${i.name}`).join(', ')}</td><td class="wide">${c.webhooks.map((w) => w.key).join(', ')}</td>
        <td><${Spark} traffic=${c.traffic} /></td><td class="number">${format.count(c.traffic.total)}</td><td class="number">${format.count(c.traffic.failed)}</td></tr>`)}</tbody></table></div>`
  }}<//>
  <h2>Reloads</h2><${Loading} of=${reloads}>${(page) => html`<${Reloads} list=${page.items} />`}<//>`
}

function Reloads({ list }) {
  if (list.length === 0) return html`<p class="quiet">Nothing was reloaded since the start. Save a file under <code>connectors/</code> or <code>config.yaml</code>, and it is taken over.</p>`
  return html`<div class="scroll"><table><thead><tr><th>When</th><th>Outcome</th><th class="number">Generation</th><th class="number">Took</th><th>Changed</th></tr></thead>
    <tbody>${list.map((r) => html`<tr><td><${Time} at=${r.at} /></td><td><${Badge} value=${r.ok ? 'done' : 'failed'}>${r.ok ? 'taken over' : 'not taken over'}<//></td><td class="number">${r.generation}</td><td class="number">${format.span(r.tookMs)}</td>
      <td>${r.changed.map((c) => html`<a href=${link('connectors', c.key)}>${c.key}</a> <${Badge} value=${c.state} /> `)}
        ${r.problems.length > 0 && html`<details><summary>${r.problems.length} finding${r.problems.length > 1 ? 's' : ''}</summary><${Findings} list=${r.problems} /></details>`}</td></tr>`)}</tbody></table></div>`
}

export function Connector({ id }) {
  const load = useLoad(path('connectors', id))
  useEvery(5000, load.reload)
  return html`<p><a href="#/connectors">Connectors</a></p><${Loading} of=${load}>${(c) => html`
    <div class="title"><h1>${c.name}</h1><${Badge} value=${c.state} />${c.loadedAt && html`<span class="quiet">loaded <${Time} at=${c.loadedAt} /></span>`}
      <a href=${'#/requests?connector=' + encodeURIComponent(c.key)}>Requests</a>${c.apiDocsUri && html`<a href=${c.apiDocsUri} rel="noreferrer noopener" target="_blank">The provider's documentation</a>`}</div>
    ${c.description && html`<p>${c.description}</p>`}
    ${c.state === 'stale' && html`<div class="notice warn">What is on disk is broken. The last good version serves on.</div>`}
    ${c.state === 'quarantined' && html`<div class="notice bad">${c.stateReason}</div>`}
    ${c.state === 'down' && html`<div class="notice bad">There is no version that works. Its URLs answer 503, so that providers send again later.</div>`}
    <${Findings} list=${c.problems} />
    <h2>Webhooks</h2>
    ${c.webhooks.map((w) => html`<section class="webhook"><h3>${w.name || w.key} <code class="quiet">${w.key}</code></h3>${w.description && html`<p>${w.description}</p>`}
      <p class="quiet">verification: ${w.verify}${w.handshake && ', answers handshakes'}</p>
      ${w.urls.length === 0 ? html`<p class="quiet">No integration uses it. Add one to <code>config.yaml</code> to get its URL.</p>` : html`<div class="scroll"><table class="plain"><tbody>${w.urls.map((u) => html`<tr>
        <th scope="row">${u.workspace}/${u.integration}</th><td class="url"><code>${u.url}</code></td><td><${Copy} text=${u.url} label="Copy" what="the URL" /></td><td><${Spark} traffic=${u.traffic} /></td>
        <td class="number">${format.count(u.traffic.total)}</td></tr>`)}</tbody></table></div>`}</section>`)}
    ${c.events.length > 0 && html`<h2>Events</h2><div class="scroll"><table><thead><tr><th>Event</th><th>Webhook</th><th>What it is</th></tr></thead><tbody>${c.events.map((e) => html`<tr><td><code>${e.key}</code></td><td>${e.webhook || ''}</td><td>${e.description || e.name}</td></tr>`)}</tbody></table></div>`}
    ${c.detail.html && html`<h2>How to set it up</h2><div class="prose" dangerouslySetInnerHTML=${{ __html: c.detail.html }} />`}
    <h2>Reloads</h2><${Reloads} list=${c.detail.reloads} />`}<//>`
}
