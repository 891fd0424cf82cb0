// A tag: whether it closes, its name, its attributes, whether it is empty.
const tag = /<(\/?)([^\s<>/!?=]+)((?:\s+[^\s<>/=]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>/y

// parse makes values of XML as SOAP uses it: an element with elements in it is
// an object (with its xsi:type, without prefix, under "type"), of elements with
// the same name a list; one without is its text, or null where xsi:nil says so.
// Prefixes of names are left out. What is not well-formed is an HttpError 400.
export function parse(text) {
  const open = [{ name: '', children: [], text: '' }]
  let at = 0
  // until is what stands between a mark at this place and its end.
  const until = (mark, end) => {
    const from = at + mark.length
    const to = text.indexOf(end, from)
    if (to < 0) throw malformed(at)
    at = to + end.length
    return text.slice(from, to)
  }
  while (at < text.length) {
    const top = open[open.length - 1]
    if (text[at] !== '<') {
      const next = text.indexOf('<', at)
      const to = next < 0 ? text.length : next
      top.text += unescape(text.slice(at, to))
      at = to
    } else if (text.startsWith('<!--', at)) {
      until('<!--', '-->')
    } else if (text.startsWith('<![CDATA[', at)) {
      top.text += until('<![CDATA[', ']]>')
    } else if (text.startsWith('<?', at)) {
      until('<?', '?>')
    } else {
      tag.lastIndex = at
      const [all, closing, name, attributes, empty] = tag.exec(text) ?? []
      if (all === undefined || (closing && (open.length === 1 || top.name !== name || attributes))) throw malformed(at)
      if (!closing) open.push({ name, attributes, children: [], text: '' })
      if (closing || empty) close(open)
      at += all.length
    }
  }
  if (open.length > 1) throw malformed(at)
  return value(open[0])
}

function close(open) {
  const element = open.pop()
  open[open.length - 1].children.push([local(element.name), value(element)])
}

function value({ attributes = '', children, text }) {
  if (/\s[\w.-]+:nil\s*=\s*["'](true|1)["']/.test(attributes)) return null
  if (children.length === 0) return text
  const type = /\s[\w.-]+:type\s*=\s*["']([^"']+)["']/.exec(attributes)
  const lists = new Map()
  for (const [name, child] of children) {
    if (lists.has(name)) lists.get(name).push(child)
    else lists.set(name, [child])
  }
  const entries = [...lists].map(([name, list]) => [name, list.length > 1 ? list : list[0]])
  return Object.fromEntries(type ? [['type', local(type[1])], ...entries] : entries)
}

function local(name) {
  return name.slice(name.indexOf(':') + 1)
}

const names = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

function unescape(text) {
  return text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(lt|gt|amp|quot|apos));/gi, (all, decimal, hex, name) => {
    if (name) return names[name.toLowerCase()]
    const code = decimal ? Number(decimal) : parseInt(hex, 16)
    return code <= 0x10ffff ? String.fromCodePoint(code) : all
  })
}

function malformed(at) {
  return new HttpError(400, `the body is not well-formed XML at character ${at}`)
}
