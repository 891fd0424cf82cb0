// The parts that pages are made of.
import { html, useState, useEffect, useRef, useCallback } from './vendor/preact-htm.js'
import { api } from './api.js'
import * as format from './format.js'

// What states mean, as one of: good, bad, warn, quiet.
const tones = {
  accepted: 'good', done: 'good', up: 'good', closed: 'good', true: 'good',
  failed: 'bad', dead: 'bad', down: 'bad', open: 'bad', unverified: 'bad', disabled: 'bad', unavailable: 'bad', quarantined: 'bad', 'bad-body': 'bad',
  refused: 'warn', stale: 'warn', deferred: 'warn', 'half-open': 'warn', paused: 'warn', inactive: 'warn',
}

export function Badge({ value, title, children }) {
  return html`<span class="badge ${tones[value] || 'quiet'}" title=${title}>${children || value}</span>`
}

export function Status({ code }) {
  const tone = code >= 500 ? 'bad' : code >= 400 ? 'warn' : code >= 200 && code < 300 ? 'good' : 'quiet'
  return html`<span class="status ${tone}">${code || '–'}</span>`
}

export function Time({ at, relative }) {
  if (!at) return null
  return html`<time datetime=${at} title=${new Date(at).toLocaleString()}>${relative ? format.ago(at) : format.when(at)}</time>`
}

/** copy puts text on the clipboard; where pages may not (no secure context) it selects a field instead. */
async function copyText(text) {
  try { await navigator.clipboard.writeText(text); return } catch { /* below */ }
  const area = document.createElement('textarea')
  area.value = text
  document.body.append(area)
  area.select()
  document.execCommand('copy')
  area.remove()
}

export function Copy({ text, label = 'Copy', what = '' }) {
  const [done, setDone] = useState(false)
  useEffect(() => {
    if (!done) return undefined
    const timer = setTimeout(() => setDone(false), 1500)
    return () => clearTimeout(timer)
  }, [done])
  return html`<button type="button" class="small" aria-label=${what ? `${label} ${what}` : label}
    onClick=${() => copyText(typeof text === 'function' ? text() : text).then(() => setDone(true))}>${done ? 'Copied' : label}</button>`
}

/** Failure shows what a call to the API answered, with all its mistakes. */
export function Failure({ error }) {
  if (!error || error.name === 'AbortError') return null
  return html`<div class="notice bad" role="alert"><p>${error.message}</p>
    ${error.errors && error.errors.length > 0 && html`<ul>${error.errors.map((e) => html`<li>
      ${e.field && html`<code>${e.field}</code>`} ${e.line > 0 && html`<code>${e.line}:${e.column}</code>`} ${e.message}
      ${e.hint && html`<span class="quiet"> ${e.hint}</span>`}</li>`)}</ul>`}</div>`
}

/**
 * useLoad loads a path of the API, again when it changes or reload is called.
 * What was loaded stays in sight meanwhile.
 */
export function useLoad(path) {
  const [state, set] = useState({ loading: true })
  const [turn, next] = useState(0)
  const last = useRef(null)
  useEffect(() => {
    if (path === null) return undefined
    const stop = new AbortController()
    if (last.current !== path) set({ loading: true })
    last.current = path
    api.get(path, stop.signal).then((data) => set({ data }), (error) => { if (error.name !== 'AbortError') set((old) => ({ data: old.data, error })) })
    return () => stop.abort()
  }, [path, turn])
  return { ...state, reload: useCallback(() => next((n) => n + 1), []) }
}

/** useEvery calls f every so many milliseconds while the page can be seen. */
export function useEvery(ms, f) {
  const latest = useRef(f)
  latest.current = f
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === 'visible' && latest.current(), ms)
    return () => clearInterval(timer)
  }, [ms])
}

/** useAction runs calls that change something: one at a time, and what they answered. */
export function useAction() {
  const [state, set] = useState({})
  const run = useCallback(async (f) => {
    set({ busy: true })
    try {
      const result = await f()
      set({ result })
      return result
    } catch (error) {
      set({ error })
      return undefined
    }
  }, [])
  return { ...state, run, clear: useCallback(() => set({}), []) }
}

export function Loading({ of, children }) {
  if (of.error && !of.data) return html`<${Failure} error=${of.error} />`
  if (!of.data) return html`<p class="quiet" role="status">Loading…</p>`
  return html`<${Failure} error=${of.error} />${children(of.data)}`
}

export function Empty({ title, children }) {
  return html`<div class="empty"><p><strong>${title}</strong></p>${children}</div>`
}

/** Spark is a small bar for each minute, with the failed part in red. */
export function Spark({ traffic, label }) {
  const all = traffic.perMinute, failed = traffic.failedPerMinute
  const most = Math.max(1, ...all)
  const bars = all.map((n, i) => {
    const h = n && Math.max(1, (n / most) * 20), bad = failed[i] && Math.max(1, (failed[i] / most) * 20)
    return html`${n > 0 && html`<rect class="bar" x=${i * 2} y=${20 - h} width="1.6" height=${h} />`}${bad > 0 && html`<rect class="bar bad" x=${i * 2} y=${20 - bad} width="1.6" height=${bad} />`}`
  })
  const text = `${label || 'last hour'}: ${traffic.total}, failed ${traffic.failed}`
  return html`<svg class="spark" viewBox="0 0 120 20" preserveAspectRatio="none" role="img" aria-label=${text}><title>${text}</title>${bars}</svg>`
}

/**
 * Chart draws series over the last hour. Each is {name, class, values}; bars are
 * drawn over one another, lines otherwise. unit makes text of a value.
 */
export function Chart({ title, series, at, unit, bars }) {
  const width = 600, height = 160, left = 48, bottom = 20, top = 8
  const [hover, setHover] = useState(null)
  // A value of null, where nothing was measured, is a gap.
  const most = Math.max(...series.flatMap((s) => s.values), 0) || 1
  const scale = nice(most)
  const n = series[0].values.length
  const step = (width - left) / n
  const x = (i) => left + i * step
  const y = (v) => top + (height - top - bottom) * (1 - v / scale)
  const ticks = [0, scale / 2, scale]
  const move = (e) => {
    const box = e.currentTarget.getBoundingClientRect()
    const i = Math.floor((((e.clientX - box.left) / box.width) * width - left) / step)
    setHover(i >= 0 && i < n ? i : null)
  }
  const summary = `${title}, last hour: ` + series.map((s) => `${s.name} now ${unit(s.values[n - 1] || 0)}, at most ${unit(Math.max(...s.values, 0))}`).join('; ')
  return html`<figure class="chart">
    <figcaption><strong>${title}</strong>
      <span class="legend">${series.map((s) => html`<span class=${s.class}>${s.name}${hover !== null && s.values[hover] !== null ? ' ' + unit(s.values[hover]) : ''}</span>`)}
        ${hover !== null && html`<span class="quiet">${format.when(at[hover]).slice(0, -7)}</span>`}</span></figcaption>
    <svg viewBox="0 0 ${width} ${height}" role="img" aria-label=${summary} onMouseMove=${move} onMouseLeave=${() => setHover(null)}>
      ${ticks.map((t) => html`<line class="grid" x1=${left} x2=${width} y1=${y(t)} y2=${y(t)} /><text x=${left - 6} y=${y(t) + 4} text-anchor="end">${unit(t)}</text>`)}
      ${[0, 0.25, 0.5, 0.75].map((f) => html`<text x=${left + f * (width - left)} y=${height - 4}>${at.length > 0 && format.when(at[Math.floor(f * n)]).slice(-12, -7)}</text>`)}
      ${bars ? series.map((s) => s.values.map((v, i) => v > 0 && html`<rect class=${'bar ' + s.class} x=${x(i) + 1} y=${y(v)} width=${Math.max(1, step - 2)} height=${y(0) - y(v)} />`))
        : series.map((s) => html`<path class=${'line ' + s.class} d=${s.values.map((v, i) => (v === null ? '' : `${i > 0 && s.values[i - 1] !== null ? 'L' : 'M'}${x(i) + step / 2} ${y(v)}h0.01`)).join('')} />`)}
      ${hover !== null && html`<line class="cursor" x1=${x(hover) + step / 2} x2=${x(hover) + step / 2} y1=${top} y2=${height - bottom} />`}
    </svg></figure>`
}

function nice(most) {
  const power = 10 ** Math.floor(Math.log10(most))
  for (const m of [1, 2, 5, 10]) if (m * power >= most) return m * power
  return most
}

/** Tile is one figure, with a note. */
export const Tile = ({ name, value, note, tone }) => html`<div class="tile ${tone || ''}"><dt>${name}</dt><dd><strong>${value}</strong>${note && html`<span class="quiet">${note}</span>`}</dd></div>`

/** Confirm is a button that asks once more before it acts. */
export function Confirm({ label, question, onYes, tone, disabled }) {
  const [asking, ask] = useState(false)
  const yes = useRef(null)
  useEffect(() => { if (asking && yes.current) yes.current.focus() }, [asking])
  if (!asking) return html`<button type="button" class=${tone || ''} disabled=${disabled} onClick=${() => ask(true)}>${label}</button>`
  return html`<span class="confirm" role="group" aria-label=${question} onKeyDown=${(e) => { if (e.key === 'Escape') { e.stopPropagation(); ask(false) } }}>${question}
    <button type="button" ref=${yes} class=${tone || ''} onClick=${() => { ask(false); onYes() }}>Yes</button>
    <button type="button" onClick=${() => ask(false)}>No</button></span>`
}

/** Code is text as it is. */
export const Code = ({ text, label }) => html`<pre class="code" tabindex="0" aria-label=${label}>${text}</pre>`

/** Tabs shows one of several panes: [{name, view}]. */
export function Tabs({ label, panes }) {
  const [at, go] = useState(0)
  const list = useRef(null)
  const key = (e) => {
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: panes.length - 1 }[e.key]
    if (to === undefined) return
    e.preventDefault()
    e.stopPropagation()
    const i = (to + panes.length) % panes.length
    go(i)
    list.current.children[i].focus()
  }
  return html`<div class="tabs"><div role="tablist" aria-label=${label} ref=${list} onKeyDown=${key}>${panes.map((p, i) => html`<button type="button" role="tab"
      aria-selected=${i === at ? 'true' : 'false'} tabindex=${i === at ? 0 : -1} onClick=${() => go(i)}>${p.name}</button>`)}</div>
    <div role="tabpanel">${panes[Math.min(at, panes.length - 1)].view()}</div></div>`
}

/** Findings are diagnostics with their code frames. */
export function Findings({ list }) {
  return list.map((f) => html`<div class="finding ${f.severity === 'error' ? 'bad' : 'warn'}">
    <p><code>${f.file}${f.line > 0 && `:${f.line}:${f.column}`}</code> <strong>${f.severity}</strong> ${f.message}</p>
    ${f.frame && html`<${Code} text=${f.frame} label="code" />`}${f.hint && html`<p class="quiet">${f.hint}</p>`}</div>`)
}

export const link = (...parts) => '#/' + parts.map(encodeURIComponent).join('/')
