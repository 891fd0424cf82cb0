// Values as text for people.

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23', fractionalSecondDigits: 3 })
const day = new Intl.DateTimeFormat(undefined, { year: 'numeric', month: 'short', day: 'numeric' })

/** when is a time of day, with the date where it is not today. */
export function when(iso) {
  if (!iso) return ''
  const t = new Date(iso)
  return t.toDateString() === new Date().toDateString() ? clock.format(t) : day.format(t) + ' ' + clock.format(t)
}

/** ago is how long ago something was. */
export function ago(iso, now = Date.now()) {
  if (!iso) return ''
  return span(Math.max(0, now - new Date(iso))) + ' ago'
}

/** span is a duration, given in milliseconds. */
export function span(ms) {
  if (ms < 1) return ms === 0 ? '0 ms' : ms.toFixed(2) + ' ms'
  if (ms < 1000) return (ms < 10 ? ms.toFixed(1) : Math.round(ms)) + ' ms'
  const s = ms / 1000
  if (s < 60) return (s < 10 ? s.toFixed(1) : Math.round(s)) + ' s'
  if (s < 3600) return Math.round(s / 60) + ' min'
  if (s < 86400) return Math.round(s / 3600) + ' h'
  return Math.round(s / 86400) + ' d'
}

/** duration is a duration as Go writes it, such as 2h0m0s, without its zeros. */
export const duration = (text) => text.replace(/(\D)0s$/, '$1').replace(/(\D)0m$/, '$1')

export function size(n) {
  if (n < 1000) return n + ' B'
  const units = ['kB', 'MB', 'GB', 'TB']
  let i = -1
  do { n /= 1000; i++ } while (n >= 999.5 && i < units.length - 1)
  return n.toFixed(n < 10 ? 1 : 0) + ' ' + units[i]
}

export function count(n) {
  if (n < 10000) return String(n)
  return n < 1e6 ? (n / 1e3).toFixed(n < 1e5 ? 1 : 0) + 'k' : (n / 1e6).toFixed(n < 1e7 ? 1 : 0) + 'M'
}

export const percent = (share) => (share * 100).toFixed(share > 0.999 && share < 1 ? 2 : share < 0.1 && share > 0 ? 1 : 0) + '%'

/** json indents JSON text, keeping every number and string as it was written; null where it is not JSON. */
export function json(text) {
  try { JSON.parse(text) } catch { return null }
  let out = '', depth = 0
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) || []
  for (let i = 0; i < tokens.length; i++) {
    const t = tokens[i], next = tokens[i + 1]
    if ((t === '{' && next === '}') || (t === '[' && next === ']')) { out += t + next; i++; continue }
    if (t === '{' || t === '[') out += t + '\n' + '  '.repeat(++depth)
    else if (t === '}' || t === ']') out += '\n' + '  '.repeat(--depth) + t
    else if (t === ',') out += ',\n' + '  '.repeat(depth)
    else if (t === ':') out += ': '
    else out += t
  }
  return out
}

/** hex is a hex dump of bytes. */
export function hex(bytes) {
  let out = ''
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.slice(at, at + 16)
    const digits = [...row].map((b) => b.toString(16).padStart(2, '0')).join(' ')
    const text = [...row].map((b) => (b >= 32 && b < 127 ? String.fromCharCode(b) : '.')).join('')
    out += at.toString(16).padStart(8, '0') + '  ' + digits.padEnd(49) + text + '\n'
  }
  return out
}

export function bytesOf(base64) {
  const text = atob(base64)
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
  return bytes
}

const quoted = (s) => "'" + s.replaceAll("'", "'\\''") + "'"

/** curl is a command that sends a stored request again. A body that is no text is given as printf's escapes. */
export function curl(request) {
  const lines = [`curl -X ${request.method} ${quoted(request.url)}`]
  for (const h of request.headers) {
    if (/^(host|content-length|connection|transfer-encoding|accept-encoding)$/i.test(h.name)) continue
    lines.push('-H ' + quoted(`${h.name}: ${h.value}`))
  }
  let before = ''
  if (request.text !== undefined && !request.text.includes('\u0000')) {
    if (request.text) lines.push('--data-binary ' + quoted(request.text))
  } else {
    before = `printf '%s' ${quoted(request.body)} | base64 -d | `
    lines.push('--data-binary @-')
  }
  return before + lines.join(' \\\n  ')
}
