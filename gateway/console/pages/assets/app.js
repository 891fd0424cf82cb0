// The shell: what page is shown, the menu, the theme, and the token.
import { html, render, useState, useEffect, useRef } from './vendor/preact-htm.js'
import { api, token, whenUnauthorized } from './api.js'
import { Failure } from './widgets.js'
import { Overview } from './overview.js'
import { Requests } from './requests.js'
import { Request } from './request.js'
import { Connectors, Connector } from './connectors.js'
import { Subscriptions, Subscription, NewSubscription } from './subscriptions.js'
import { Changes } from './changes.js'

const menu = [
  { key: '', name: 'Overview' },
  { key: 'requests', name: 'Requests' },
  { key: 'connectors', name: 'Connectors' },
  { key: 'subscriptions', name: 'Subscriptions' },
  { key: 'changes', name: 'Changes' },
]

// A place is #/page/part/part?fields; the fields of a place are its filters.
function place() {
  const [path, fields] = location.hash.replace(/^#\/?/, '').split('?')
  return { parts: path.split('/').filter(Boolean).map(decodeURIComponent), fields: Object.fromEntries(new URLSearchParams(fields || '')) }
}

function page({ parts, fields }) {
  const [kind, ...rest] = parts
  switch (kind) {
    case undefined: return html`<${Overview} />`
    case 'requests': return rest.length ? html`<${Request} id=${rest[0]} key=${rest[0]} />` : html`<${Requests} fields=${fields} />`
    case 'connectors': return rest.length ? html`<${Connector} id=${rest[0]} key=${rest[0]} />` : html`<${Connectors} />`
    case 'subscriptions':
      if (rest.length === 2) return html`<${Subscription} id=${rest.join('/')} key=${rest.join('/')} />`
      return rest[0] === 'new' ? html`<${NewSubscription} />` : html`<${Subscriptions} />`
    case 'changes': return html`<${Changes} />`
    default: return html`<p>There is no such page. <a href="#/">Overview</a></p>`
  }
}

function App() {
  const [at, go] = useState(place())
  const [locked, lock] = useState(false)
  const main = useRef(null)
  const shown = useRef(at.parts.join('/'))
  useEffect(() => {
    whenUnauthorized(() => lock(true))
    const changed = () => go(place())
    addEventListener('hashchange', changed)
    addEventListener('keydown', shortcut)
    return () => { removeEventListener('hashchange', changed); removeEventListener('keydown', shortcut) }
  }, [])
  useEffect(() => {
    const name = at.parts.join('/')
    const item = menu.find((m) => m.key === (at.parts[0] || ''))
    document.title = [at.parts.slice(1).join('/'), item && item.name, 'Switchhook'].filter(Boolean).join(' · ')
    if (shown.current !== name) { shown.current = name; scrollTo(0, 0); if (main.current) main.current.focus({ preventScroll: true }) }
  }, [at])
  return html`<a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); main.current.focus() }}>Skip to the content</a>
    <header><a class="brand" href="#/"><img src="/assets/icon.svg" alt="" width="24" height="24" />Switchhook</a>
      <nav aria-label="Pages">${menu.map((m) => html`<a href=${'#/' + m.key} aria-current=${(at.parts[0] || '') === m.key ? 'page' : undefined}>${m.name}</a>`)}</nav>
      <${Theme} /></header>
    <main id="main" tabindex="-1" ref=${main}>${locked ? html`<${Login} onDone=${() => lock(false)} />` : page(at)}</main>
    <footer class="quiet">Keys: <kbd>g</kbd> then <kbd>o</kbd> <kbd>r</kbd> <kbd>c</kbd> <kbd>s</kbd> go to a page; in lists <kbd>j</kbd> <kbd>k</kbd> <kbd>Enter</kbd>; <kbd>/</kbd> searches; <kbd>Esc</kbd> goes back.</footer>`
}

let leader = 0
function shortcut(e) {
  if (e.ctrlKey || e.metaKey || e.altKey || /^(input|textarea|select)$/i.test(e.target.tagName)) return
  if (e.key === 'g') { leader = Date.now(); return }
  if (Date.now() - leader < 1500) {
    const to = { o: '', r: 'requests', c: 'connectors', s: 'subscriptions', h: 'changes' }[e.key]
    leader = 0
    if (to !== undefined) { location.hash = '#/' + to; return }
  }
  if (e.key === '/') {
    const field = document.querySelector('input[type=search]')
    if (field) { e.preventDefault(); field.focus() }
  } else if (e.key === 'Escape' && place().parts.length > 1) location.hash = '#/' + place().parts[0]
}

function Theme() {
  const [theme, set] = useState(localStorage.getItem('switchhook.theme') || '')
  useEffect(() => {
    if (theme) { document.documentElement.dataset.theme = theme; localStorage.setItem('switchhook.theme', theme) }
    else { delete document.documentElement.dataset.theme; localStorage.removeItem('switchhook.theme') }
  }, [theme])
  return html`<label class="theme"><span class="hidden">Theme</span><select value=${theme} onChange=${(e) => set(e.currentTarget.value)}>
    <option value="">System</option><option value="light">Light</option><option value="dark">Dark</option></select></label>`
}

function Login({ onDone }) {
  const [error, fail] = useState(null)
  const enter = async (e) => {
    e.preventDefault()
    const old = token.get()
    token.set(new FormData(e.currentTarget).get('token').trim())
    try { await api.get('/status'); onDone() } catch (problem) { token.set(old); fail(problem) }
  }
  return html`<form class="login" onSubmit=${enter}><h1>Token</h1>
    <p>This gateway asks for <code>admin.token</code> of its configuration. It is kept for this tab only.</p>
    <label>Token <input name="token" type="password" autocomplete="off" required autofocus /></label>
    <button class="primary">Enter</button><${Failure} error=${error} /></form>`
}

render(html`<${App} />`, document.getElementById('app'))
