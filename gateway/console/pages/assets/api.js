// The admin API as the pages use it: calls, the live stream, and the token.

const tokenKey = 'switchhook.token'

/** The token that the person typed; kept for this tab only. */
export const token = {
  get: () => sessionStorage.getItem(tokenKey) || '',
  set: (value) => (value ? sessionStorage.setItem(tokenKey, value) : sessionStorage.removeItem(tokenKey)),
}

/** Problem is an error answer of the API (RFC 9457). */
export class Problem extends Error {
  constructor(status, body) {
    super((body && body.detail) || `the gateway answered ${status}`)
    this.status = status
    this.errors = (body && body.errors) || []
  }
}

// Told when the API asks for a token.
let onUnauthorized = () => {}
export const whenUnauthorized = (f) => { onUnauthorized = f }

function headers(more) {
  const h = { ...more }
  if (token.get()) h.Authorization = 'Bearer ' + token.get()
  return h
}

async function call(method, path, body, signal) {
  let resp
  try {
    resp = await fetch('/api/v1' + path, {
      method, signal, headers: headers(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      body: body === undefined ? undefined : JSON.stringify(body),
    })
  } catch (e) {
    if (e.name === 'AbortError') throw e
    throw new Problem(0, { detail: 'the gateway cannot be reached' })
  }
  if (resp.ok) return resp.status === 204 ? null : JSON.parse(await resp.text(), exact)
  if (resp.status === 401) onUnauthorized()
  throw new Problem(resp.status, await resp.json().catch(() => null))
}

// Integers that a double cannot hold, such as ids, are shown as they were sent.
function exact(key, value, context) {
  if (typeof value === 'number' && !Number.isSafeInteger(value) && context && JSON.rawJSON && /^-?\d+$/.test(context.source)) return JSON.rawJSON(context.source)
  return value
}

export const api = {
  get: (path, signal) => call('GET', path, undefined, signal),
  post: (path, body) => call('POST', path, body),
  put: (path, body) => call('PUT', path, body),
  del: (path) => call('DELETE', path),
  /** The bytes of a body, for a download. */
  async blob(path) {
    const resp = await fetch('/api/v1' + path, { headers: headers({}) })
    if (!resp.ok) throw new Problem(resp.status, await resp.json().catch(() => null))
    return resp.blob()
  },
}

/** query makes a query string of the fields that have a value. */
export function query(fields) {
  const q = new URLSearchParams()
  for (const [k, v] of Object.entries(fields)) if (v !== '' && v !== undefined && v !== null && v !== false) q.set(k, v)
  const text = q.toString()
  return text && '?' + text
}

/** path escapes the parts of a path. */
export const path = (...parts) => '/' + parts.map(encodeURIComponent).join('/')

/** idPath is the path of a subscription, whose id is WORKSPACE/NAME. */
export const idPath = (id) => path(...splitID(id))
export const splitID = (id) => { const i = id.indexOf('/'); return [id.slice(0, i), id.slice(i + 1)] }

/**
 * stream listens to what happens until the function it returns is called. It comes
 * back by itself when the connection is lost. EventSource would do, but cannot send a token.
 */
export function stream(fields, onMessage, onState) {
  const stop = new AbortController()
  let wait = 500
  async function listen() {
    const resp = await fetch('/api/v1/stream' + query(fields), { signal: stop.signal, headers: headers({ Accept: 'text/event-stream' }) })
    if (resp.status === 401) onUnauthorized()
    if (!resp.ok) throw new Problem(resp.status, await resp.json().catch(() => null))
    onState('live')
    wait = 500
    const reader = resp.body.pipeThrough(new TextDecoderStream()).getReader()
    let rest = ''
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      const messages = (rest + value).split('\n\n')
      rest = messages.pop()
      const batch = messages.map(parse).filter(Boolean)
      if (batch.length) onMessage(batch)
    }
  }
  ;(async () => {
    while (!stop.signal.aborted) {
      let why = ''
      try { await listen() } catch (e) { why = e.message }
      if (stop.signal.aborted) return
      onState('lost', why)
      await new Promise((resolve) => setTimeout(resolve, wait))
      wait = Math.min(wait * 2, 10000)
    }
  })()
  return () => stop.abort()
}

function parse(text) {
  let kind = 'message', data = ''
  for (const line of text.split('\n')) {
    if (line.startsWith('event: ')) kind = line.slice(7)
    else if (line.startsWith('data: ')) data += line.slice(6)
  }
  return data && { kind, data: JSON.parse(data) }
}
