// Who changed what through the admin API.
import { html, useState, useEffect } from './vendor/preact-htm.js'
import { api, query } from './api.js'
import { Empty, Failure, Time } from './widgets.js'

export function Changes() {
  const [items, set] = useState(null)
  const [next, setNext] = useState('')
  const [error, fail] = useState(null)
  const more = (cursor) => api.get('/audit' + query({ cursor, limit: 100 })).then((page) => {
    set((old) => (cursor ? old.concat(page.items) : page.items))
    setNext(page.next)
  }, fail)
  useEffect(() => { more('') }, [])
  return html`<h1>Changes</h1><p class="quiet">What was changed through this console and the admin API. Changes of files are under <a href="#/connectors">Connectors</a>.</p>
    <${Failure} error=${error} />
    ${items && (items.length === 0 ? html`<${Empty} title="Nothing was changed yet." />` : html`<div class="scroll"><table>
      <thead><tr><th>When</th><th>What</th><th>Of</th><th>Detail</th><th>From</th></tr></thead>
      <tbody>${items.map((c) => html`<tr><td><${Time} at=${c.at} /></td><td>${c.action}</td><td><code>${c.target}</code></td><td>${c.detail}</td><td title=${c.agent}>${c.remote}</td></tr>`)}</tbody></table></div>
      ${next && html`<button type="button" onClick=${() => more(next)}>More</button>`}`)}`
}
